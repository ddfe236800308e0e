// What a reader of a report does with its viewer: going through an episode by mouse and keys,
// turning scales and overlays on and off, choosing episodes. paint.js, before this, draws.
const [slider, bars, thumbs] = ["slider", "bars", "thumbs"].map(find);
let order = data.episodes, timer = 0, loading = 0;

function load(source) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = failed;
    image.src = source;
  });
}

// ---- Going through an episode

function show(t) {
  now = Math.min(Math.max(t, 1), episode.spots.length);
  slider.value = now;
  find("count").textContent = `glimpse ${now} of ${episode.spots.length}`;
  const beliefs = episode.beliefs[now - 1], most = beliefs.indexOf(Math.max(...beliefs));
  const said = `${data.classes[episode.shown[most]]}, ${percent(beliefs[most])}`;
  slider.setAttribute("aria-valuetext", `${now} of ${episode.spots.length}: believes ${said}`);
  gaze.setAttribute("aria-label", `fixations 1 to ${now} on the scene`);
  seen.setAttribute("aria-label", `what it has seen after glimpse ${now}`);
  beliefs.forEach((belief, row) => {
    const bar = bars.children[row], fill = bar.children[1].firstChild;
    bar.className = row === most ? "top" : "";
    fill.style.width = belief * 100 + "%";
    fill.style.background = data.colors[now - 1];
    bar.lastChild.textContent = percent(belief);
  });
  paint();
}

function play(on) {
  clearInterval(timer);
  timer = 0;
  if (on) {
    if (now === episode.spots.length) show(1);
    timer = setInterval(() => now < episode.spots.length ? show(now + 1) : play(false), 700);
  }
  find("play").textContent = timer ? "Pause" : "Play";
}

function ask(row) {
  asked = row;
  [...bars.children].forEach((bar, index) => bar.setAttribute("aria-pressed", index === row));
}

function makeBar(k, row) {
  const bar = make("button", { type: "button" }), track = make("i"), name = data.classes[k];
  bar.onclick = () => { ask(row); paint(); };
  bar.title = name + (k === episode.label ? " (true)" : "");
  track.append(make("b"));
  bar.append(make("span", { textContent: name + (k === episode.label ? " ✓" : "") }), track);
  bar.append(make("span"));
  return bar;
}

async function choose(wanted) {
  const turn = ++loading;
  wanted.picture ??= await load(wanted.scene);
  wanted.glimpses ??= await load(wanted.sprite);
  if (turn !== loading) return; // another one was chosen meanwhile
  episode = wanted;
  episode.input.checked = true;
  slider.max = episode.spots.length;
  find("said").textContent = `${episode.said} (${percent(episode.certainty)} certain)`;
  find("said").className = episode.right ? "right" : "wrong";
  bars.replaceChildren(...episode.shown.map(makeBar));
  ask(0);
  show(episode.spots.length);
  reveal();
}

slider.oninput = () => { play(false); show(+slider.value); };
find("play").onclick = () => play(!timer);
gaze.onpointerdown = gaze.onpointermove = event => {
  if (!event.buttons) return;
  play(false);
  const box = gaze.getBoundingClientRect(), scale = box.width / data.width;
  const [left, top] = [event.clientX - box.left, event.clientY - box.top];
  const far = episode.spots.map(([x, y]) => Math.hypot(x * scale - left, y * scale - top));
  show(far.indexOf(Math.min(...far)) + 1);
};
changes.onpointerdown = changes.onpointermove = event => {
  if (!event.buttons) return;
  play(false);
  const box = changes.getBoundingClientRect(); // its bars begin 38 pixels from the left
  const across = (event.clientX - box.left - 38) / (box.width - 42);
  show(Math.floor(across * episode.spots.length) + 1);
};

// ---- What is shown

function chip(text, key, title, read, write) {
  const button = make("button", { type: "button", textContent: text });
  const turn = () => { write(!read()); button.setAttribute("aria-pressed", read()); paint(); };
  Object.assign(button, { title: `${title} (${key.toUpperCase()})`, onclick: turn });
  button.setAttribute("aria-pressed", read());
  find("chips").append(button);
  return [key, turn];
}

const named = [
  ["path", "a", "path", "fixations in their order"],
  ["windows", "w", "windows", "the retina's windows at this glimpse"],
  ["earlier", "e", "earlier windows", "the windows at all glimpses so far"],
  ["others", "o", "other episodes", "fixations of all other episodes"],
].map(([name, key, text, title]) =>
  chip(text, key, title, () => shows[name], on => { shows[name] = on; }));
find("chips").append(make("i"));
const scaled = data.sides.map((side, s) =>
  chip(`${side} px`, `${s + 1}`, `scale ${s + 1}: a window of ${side} by ${side} pixels`,
    () => shows.scales[s], on => { shows.scales[s] = on; }));
const turns = Object.fromEntries([...named, ...scaled]);

// ---- Choosing an episode

data.episodes.forEach((each, index) => {
  const sure = `${percent(each.certainty)} certain`;
  const canvas = make("canvas"), text = make("span", { className: each.right ? "right" : "wrong" });
  text.textContent = (each.right ? "✓ " : "✗ ") + data.classes[each.answer];
  each.input = make("input", { type: "radio", name: "episode" });
  each.input.onchange = () => { play(false); choose(each); };
  each.input.setAttribute("aria-label", `episode ${index + 1}: ${each.said}, ${sure}`);
  each.thumb = make("label", { title: `${each.said}, ${sure}` });
  each.thumb.append(each.input, canvas, text);
  load(each.scene).then(picture => {
    each.picture = picture;
    paintThumb(canvas, picture, each.spots);
  });
});

let kept = "all";
const kinds = { all: () => true, right: each => each.right, wrong: each => !each.right };
function arrange() {
  const way = +find("sort").value;
  order = data.episodes.filter(kinds[kept]);
  if (way) order.sort((a, b) => way * (a.certainty - b.certainty));
  thumbs.replaceChildren(...order.map(each => each.thumb));
  for (const button of find("filter").children)
    button.setAttribute("aria-pressed", button.value === kept);
  if (order.includes(episode)) return reveal();
  play(false);
  choose(order[0]);
}
for (const [name, belongs] of Object.entries(kinds)) {
  const count = data.episodes.filter(belongs).length;
  const button = make("button", { type: "button", value: name, disabled: !count });
  button.textContent = `${name} ${count}`;
  button.onclick = () => { kept = name; arrange(); };
  find("filter").append(button);
}
find("sort").onchange = arrange;

// Scrolls the list, and not the page, to the chosen episode.
function reveal() {
  const [box, item] = [thumbs, episode.thumb].map(each => each.getBoundingClientRect());
  thumbs.scrollTop += Math.min(0, item.top - box.top) + Math.max(0, item.bottom - box.bottom);
  thumbs.scrollLeft += Math.min(0, item.left - box.left) + Math.max(0, item.right - box.right);
}

function step(by) {
  choose(order[(order.indexOf(episode) + by + order.length) % order.length]);
}

// ---- Keys, and changes of the page

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("pre, select")) return;
  const arrows = event.target.type !== "radio" && event.target !== slider; // they have their own
  const moves = { ArrowLeft: () => show(now - 1), ArrowRight: () => show(now + 1) };
  const letters = { n: () => step(1), p: () => step(-1), k: () => play(!timer), ...turns };
  const move = letters[event.key.toLowerCase()] || (arrows && moves[event.key]);
  if (!move) return;
  if (event.key in moves) event.preventDefault();
  if (event.key in moves || "nNpP".includes(event.key)) play(false);
  move();
});
for (const { style } of [gaze, seen]) {
  style.aspectRatio = `${data.width} / ${data.height}`;
  style.maxWidth = `${75 * data.width / data.height}vh`; // a tall scene fits the screen
}
new ResizeObserver(() => requestAnimationFrame(paint)).observe(gaze.parentElement);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
arrange();
choose(order[0]);
