"use strict";
const format = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const say = (value) => (typeof value === "number" ? format.format(value).replace("-", "−") : value);
for (const chart of document.querySelectorAll(".chart")) {
  const data = JSON.parse(chart.dataset.hover);
  if (!data || !data.x.length) continue;
  const plot = chart.querySelector(".plot");
  const rule = chart.querySelector(".rule");
  const reading = chart.querySelector(".reading");
  const show = (event) => {
    const box = plot.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 1000;
    let near = 0;
    data.x.forEach((at, index) => { if (Math.abs(at - x) < Math.abs(data.x[near] - x)) near = index; });
    rule.hidden = false;
    rule.style.left = data.x[near] / 10 + "%";
    const known = data.rows.filter(([, values]) => values[near] !== null);
    const parts = known.map(([name, values]) => name + " " + say(values[near]));
    const at = data.step[near];
    const where = Number.isInteger(at) ? at.toLocaleString("en") : say(at);
    reading.textContent = [data.unit + " " + where, ...parts].join("   ");
  };
  const hide = () => { rule.hidden = true; reading.textContent = ""; };
  plot.addEventListener("pointermove", show);
  plot.addEventListener("pointerdown", show);
  plot.addEventListener("pointerleave", hide);
}
