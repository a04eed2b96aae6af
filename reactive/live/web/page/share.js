// Links to hand out, with QR codes: to play from a phone, and only to look.

const panel = document.querySelector(".panel");
const section = document.createElement("details"), summary = document.createElement("summary"), note = document.createElement("p"), cards = document.createElement("div");
summary.textContent = "Phones";
section.id = "share";
note.className = "quiet";
note.id = "share-note";
cards.className = "cards";
section.append(summary, note, cards);
panel.append(section);

const MEANING = {play: "play: a remote control that can do everything", look: "look: pictures and state, and no more"};

section.ontoggle = async () => {
  if (!section.open) return;
  const answer = await fetch("/share").catch(() => null);
  if (!answer?.ok) { note.textContent = "The server is away."; return; }
  const {open, note: text, links} = await answer.json();
  note.textContent = text;
  cards.replaceChildren(...Object.entries(links).map(([name, link]) => {
    const card = document.createElement("figure"), caption = document.createElement("figcaption"), field = document.createElement("input");
    caption.textContent = MEANING[name];
    Object.assign(field, {type: "text", readOnly: true, value: link});
    field.setAttribute("aria-label", `Link to ${name}`);
    field.onfocus = () => field.select();
    if (open) {
      const code = new Image();
      code.alt = `QR code of the link to ${name}`;
      code.src = `/share/${name}.svg`;
      code.onerror = () => { code.remove(); note.textContent = "QR codes need the library segno, of the extra [preview]. The links work without."; };
      card.append(code);
    }
    card.append(caption, field);
    return card;
  }));
};
