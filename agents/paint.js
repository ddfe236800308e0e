"use strict";
// What the viewer of a report draws: the scene with the gaze on it, what was seen of it, and what
// each glimpse changed. report.js, behind this in the page, decides what is shown.
const data = JSON.parse(document.getElementById("data").textContent);
const find = id => document.getElementById(id);
const make = (tag, values = {}) => Object.assign(document.createElement(tag), values);
const percent = share => Math.round(share * 100) + "%";
const [gaze, seen, changes] = ["gaze", "seen", "changes"].map(find);
const shadow = "rgba(10, 10, 16, .7)";
const shows = {
  path: true, windows: true, earlier: false, others: false, scales: data.sides.map(() => true),
};
let episode = data.episodes[0], now = 1, asked = 0; // asked: the class whose belief is explained

// Fits a canvas to its place on the page and to the screen's pixels; returns brush and unit.
function fit(canvas, ratio) {
  const unit = window.devicePixelRatio || 1;
  const width = Math.max(Math.round(canvas.clientWidth * unit), 1);
  const height = Math.max(Math.round(ratio ? width * ratio : canvas.clientHeight * unit), 1);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const brush = canvas.getContext("2d");
  brush.clearRect(0, 0, width, height);
  brush.imageSmoothingEnabled = width < Math.min(data.width, 1024);
  return [brush, unit];
}

function stroke(brush, color, width, path) {
  for (const [style, line] of [[shadow, width * 2.2], [color, width]]) {
    brush.strokeStyle = style;
    brush.lineWidth = line;
    brush.beginPath();
    path();
    brush.stroke();
  }
}

function dot(brush, x, y, radius) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, 7);
  brush.fill();
}

// ---- What has been seen: coarse windows first, in the order of time, sharper ones over them

const reduce = Math.min(1, 1024 / Math.max(data.width, data.height));
const sheet = make("canvas", {
  width: Math.round(data.width * reduce), height: Math.round(data.height * reduce),
});
function paintSeen() {
  const brush = sheet.getContext("2d"), g = data.size;
  brush.imageSmoothingEnabled = false;
  brush.fillStyle = data.unseen;
  brush.fillRect(0, 0, sheet.width, sheet.height);
  for (let s = data.sides.length - 1; s >= 0; s--)
    for (let t = 0; t < now && shows.scales[s]; t++) {
      const [x, y] = episode.starts[t][s], side = data.sides[s] * reduce;
      brush.drawImage(episode.glimpses, s * g, t * g, g, g, x * reduce, y * reduce, side, side);
    }
}

// ---- The gaze on the scene

function paintOthers(brush, scale, unit) {
  brush.fillStyle = "rgba(120, 220, 255, .55)";
  for (const other of data.episodes)
    for (const [x, y] of other === episode ? [] : other.spots)
      dot(brush, x * scale, y * scale, 2 * unit);
}

function paintWindows(brush, scale, unit) {
  for (let t = shows.earlier ? 0 : now - 1; t < now; t++)
    data.sides.forEach((side, s) => {
      if (!shows.scales[s]) return;
      const box = [...episode.starts[t][s], side, side].map(v => v * scale);
      brush.globalAlpha = Math.max(1 - .15 * s, .6) * (t < now - 1 ? .6 : 1);
      stroke(brush, data.colors[t], (s ? 1.2 : 2) * unit, () => brush.rect(...box));
    });
  brush.globalAlpha = 1;
}

function paintPath(brush, spots, radius, unit, numbers) {
  for (let t = 1; t < spots.length; t++)
    stroke(brush, data.colors[t], (numbers ? 2 : 1.4) * unit, () => {
      brush.moveTo(...spots[t - 1]);
      brush.lineTo(...spots[t]);
    });
  brush.textAlign = "center";
  brush.font = `bold ${radius * 1.25}px system-ui, sans-serif`;
  spots.forEach((spot, t) => {
    brush.fillStyle = data.colors[t];
    brush.strokeStyle = shadow;
    brush.lineWidth = 1.5 * unit;
    dot(brush, ...spot, radius);
    if (!numbers) return;
    brush.stroke();
    brush.fillStyle = data.inks[t];
    brush.fillText(t + 1, spot[0], spot[1] + radius * .45);
  });
}

function paint() {
  if (!episode.glimpses) return;
  const ratio = data.height / data.width, [brush, unit] = fit(gaze, ratio);
  const scale = gaze.width / data.width;
  brush.drawImage(episode.picture, 0, 0, gaze.width, gaze.height);
  if (shows.others) paintOthers(brush, scale, unit);
  if (shows.windows) paintWindows(brush, scale, unit);
  const spots = episode.spots.slice(0, now).map(spot => spot.map(v => v * scale));
  const radius = Math.min(Math.max(gaze.clientWidth * .03, 7), 12) * unit;
  if (shows.path) paintPath(brush, spots, radius, unit, true);
  paintSeen();
  fit(seen, ratio)[0].drawImage(sheet, 0, 0, seen.width, seen.height);
  find("explained").hidden = !episode.without;
  if (episode.without) paintChanges();
}

// A small picture of an episode's whole path.
function paintThumb(canvas, picture, spots) {
  const side = 116, scale = side / Math.max(data.width, data.height);
  const size = [data.width * scale, data.height * scale], corner = size.map(v => (side - v) / 2);
  Object.assign(canvas, { width: side, height: side });
  const brush = canvas.getContext("2d");
  brush.imageSmoothingEnabled = scale < 1;
  brush.drawImage(picture, ...corner, ...size);
  paintPath(brush, spots.map(spot => spot.map((v, i) => v * scale + corner[i])), 4.5, 1.6, false);
}

// ---- What each glimpse changed

// Bars from the belief before a glimpse to that after it; rings: the final belief without it.
function paintChanges() {
  const [brush, unit] = fit(changes), style = getComputedStyle(document.documentElement);
  const colors = ["--ink", "--quiet", "--hair", "--card"].map(name => style.getPropertyValue(name));
  const [ink, quiet, hair, card] = colors;
  const believed = episode.beliefs.map(row => row[asked]), final = believed.at(-1);
  const [left, right] = [38 * unit, changes.width - 4 * unit];
  const [top, bottom] = [8 * unit, changes.height - 20 * unit];
  const step = (right - left) / believed.length, wide = Math.min(step * .6, 34 * unit);
  const across = t => left + (t + .5) * step, down = belief => bottom - belief * (bottom - top);
  const line = (color, width, dash, ...points) => {
    Object.assign(brush, { strokeStyle: color, lineWidth: width * unit });
    brush.setLineDash(dash.map(v => v * unit));
    brush.beginPath();
    points.forEach(point => brush.lineTo(...point));
    brush.stroke();
    brush.setLineDash([]);
  };
  const write = (text, x, y, textAlign) =>
    Object.assign(brush, { fillStyle: quiet, textAlign }).fillText(text, x, y);
  brush.font = `${11 * unit}px system-ui, sans-serif`;
  Object.assign(brush, { fillStyle: hair, globalAlpha: .6 });
  brush.fillRect(across(now - 1) - step / 2, top, step, bottom - top);
  brush.globalAlpha = 1;
  for (const share of [0, .5, 1]) {
    line(hair, 1, [], [left, down(share)], [right, down(share)]);
    write(percent(share), left - 6 * unit, down(share) + 4 * unit, "right");
  }
  const skip = Math.ceil(believed.length / 16);
  believed.forEach((after, t) => {
    const x = across(t), ends = [down(after), down(t ? believed[t - 1] : data.prior)];
    brush.globalAlpha = t < now ? 1 : .35;
    brush.fillStyle = data.colors[t];
    brush.fillRect(x - wide / 2, Math.min(...ends), wide, Math.abs(ends[0] - ends[1]));
    line(ink, 1.5, [], [x - wide / 2, ends[0]], [x + wide / 2, ends[0]]);
    brush.globalAlpha = 1;
    if (t % skip === 0) write(t + 1, x, changes.height - 5 * unit, "center");
  });
  line(ink, 1, [5, 4], [left, down(final)], [right, down(final)]);
  episode.without.forEach((row, t) => {
    const x = across(t), y = down(row[asked]);
    line(quiet, 1, [1, 3], [x, down(final)], [x, y]);
    Object.assign(brush, { fillStyle: card, strokeStyle: ink, lineWidth: 1.5 * unit });
    dot(brush, x, y, 4 * unit);
    brush.stroke();
  });
  tellChanges(believed);
}

function tellChanges(believed) {
  const moved = believed[now - 1] - (now > 1 ? believed[now - 2] : data.prior);
  const points = Math.round(Math.abs(moved) * 100), way = moved < 0 ? "lowered" : "raised";
  const by = points === 1 ? "1 point" : points ? `${points} points` : "less than a point";
  const without = percent(episode.without[now - 1][asked]);
  const name = data.classes[episode.shown[asked]];
  find("about").textContent = `What each glimpse changed: belief in ${name}`;
  find("changed").textContent =
    `Glimpse ${now} ${way} it by ${by}. Without glimpse ${now} (the ring) the final belief ` +
    `would be ${without} instead of ${percent(believed.at(-1))} (dashed).`;
  changes.setAttribute("aria-label", find("changed").textContent);
}
