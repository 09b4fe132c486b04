function (width) {
  const out = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.classList.length ? "." + [...e.classList].join(".") : "");

  // A phone's window grows with what does not fit, so the wanted width counts.
  const scroller = document.scrollingElement;
  if (innerWidth > width || scroller.scrollWidth > width) {
    out.push(`the page is ${Math.max(innerWidth, scroller.scrollWidth)} wide at ${width}`);
  }

  const ids = new Set();
  for (const e of document.querySelectorAll("[id]")) {
    if (ids.has(e.id)) out.push(`the id ${e.id} occurs twice`);
    ids.add(e.id);
  }
  for (const a of document.querySelectorAll("a[href]")) {
    const href = a.getAttribute("href");
    if (!href.startsWith("#") || !ids.has(href.slice(1))) out.push(`${href} leads nowhere`);
  }
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    const label = document.getElementById(e.getAttribute("aria-labelledby"));
    if (!label || !label.textContent.trim()) out.push(`${name(e)} has no name`);
  }
  for (const e of document.querySelectorAll("table")) {
    if (!e.caption || !e.caption.textContent.trim()) out.push("a table has no caption");
  }
  for (const e of document.querySelectorAll("th")) {
    if (!e.scope) out.push(`a heading of a table has no scope: ${e.textContent}`);
  }
  for (const e of document.querySelectorAll("button")) {
    if (!(e.textContent.trim() || e.ariaLabel)) out.push("a button has no name");
  }
  let level = 0;
  for (const h of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const next = Number(h.tagName[1]);
    if (next > level + 1) out.push(`the heading ${h.textContent} skips a level`);
    level = next;
  }

  // Contrast as WCAG 2 counts it, 4.5 or more.
  const parse = (c) => {
    const m = c.match(/[\d.]+/g).map(Number);
    return { rgb: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.a === 1) return c.rgb;
    }
    return [255, 255, 255];
  };
  const poor = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const e = text.parentElement;
    if (!text.data.trim() || e.closest("script, style, title, .unseen, [hidden]") || !e.checkVisibility()) continue;
    const style = getComputedStyle(e);
    const drawn = e.closest("svg");
    const fore = light(parse(drawn ? style.fill : style.color).rgb);
    const back = light(ground(e));
    const ratio = (Math.max(fore, back) + 0.05) / (Math.min(fore, back) + 0.05);
    if (ratio < 4.5) poor.set(name(e), ratio);
  }
  for (const [e, ratio] of poor) out.push(`the text of ${e} has a contrast of ${ratio.toFixed(2)}`);
  return out;
}
