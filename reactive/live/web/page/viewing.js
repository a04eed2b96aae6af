// An address for OBS and other mixers: it shows the running picture, opens nothing else, and can be taken back.

const panel = document.querySelector(".panel");
const section = document.createElement("details"), summary = document.createElement("summary");
const address = document.createElement("input"), row = document.createElement("div");
const give = document.createElement("button"), revoke = document.createElement("button");

summary.textContent = "Picture for OBS";
address.readOnly = true;
address.id = "viewing-address";
address.placeholder = "no address is given out";
address.setAttribute("aria-label", "Address for OBS");
address.onfocus = () => address.select();
give.textContent = "new address";
give.id = "viewing-give";
give.title = "Who has it can look, and no more; the address before is worth nothing any more";
revoke.textContent = "revoke";
revoke.id = "viewing-revoke";
row.className = "row";
row.append(give, revoke);
section.append(summary, address, row);
panel.append(section);

give.onclick = async () => {
  const answer = await fetch("/viewing", {method: "POST"}).catch(() => null);
  if (answer?.ok) address.value = (await answer.json()).url;
};
revoke.onclick = async () => {
  const answer = await fetch("/viewing", {method: "DELETE"}).catch(() => null);
  if (answer?.ok) address.value = "";
};
