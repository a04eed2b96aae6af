// Save what was turned into the preset: first what it would do, then, if a person agrees, the saving.

const byId = (id) => document.getElementById(id);

export class Keep {
  constructor(send) {
    this.send = send;
    byId("keep").onclick = () => send({t: "keep?"});
    byId("keep-own").onclick = () => send({t: "keep"});
    byId("keep-copy").onclick = () => send({t: "keep", name: byId("keep-name").value.trim()});
    byId("keep-cancel").onclick = () => byId("keep-dialog").close();
    byId("keep-name").onkeydown = (event) => { if (event.key === "Enter") byId("keep-copy").click(); };
    byId("keep-name").oninput = () => {
      byId("keep-copy").disabled = !this.any || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(byId("keep-name").value.trim());
    };
  }

  get open() {
    return byId("keep-dialog").open;
  }

  ask({preset, own, path, says, leaves, warning, name}) {
    this.any = says.length > 0;
    const rows = (lines) => lines.map((line) => Object.assign(document.createElement("li"), {textContent: line}));
    byId("keep-says").replaceChildren(...rows(this.any ? says : ["Nothing that a preset holds was turned yet."]));
    byId("keep-leaves").replaceChildren(...rows(leaves));
    byId("keep-leaves-part").hidden = !leaves.length;
    byId("keep-warning").textContent = warning;
    byId("keep-warning").hidden = !this.any;
    byId("keep-where").textContent = own ? path : `${preset} ships with the program and is never overwritten. Your own copy begins where it stands now.`;
    byId("keep-own").hidden = !own;
    byId("keep-own").disabled = !this.any;
    byId("keep-name").value = name;
    byId("keep-name").oninput();
    byId("keep-copy").classList.toggle("first", !own);
    this.fail("");
    byId("keep-dialog").showModal();
    (own ? byId("keep-own") : byId("keep-name")).focus();
  }

  fail(text) {
    byId("keep-error").textContent = text;
    byId("keep-error").hidden = !text;
  }

  close() {
    byId("keep-dialog").close();
  }
}
