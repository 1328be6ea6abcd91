// What the tests ask a page in the browser. Each function returns plain data.
"use strict";

// Text nodes that somebody sees, each with its element.
function textsIn(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest("script, style, title, desc")) continue;
    const shown = element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (shown) found.push({ node: walker.currentNode, element });
  }
  return found;
}

function boxOf(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  return range.getBoundingClientRect();
}

function excerpt(node) {
  return node.data.trim().replace(/\s+/g, " ").slice(0, 50);
}

// What a page points to, as the browser resolves it, and the names in it that can be pointed to.
function references() {
  const hrefs = [...document.querySelectorAll("a[href]")].map((a) => a.href);
  const images = [...document.images].filter((image) => !image.naturalWidth);
  return {
    links: hrefs,
    anchors: [...document.querySelectorAll("[id]")].map((element) => element.id),
    brokenImages: images.map((image) => image.src),
    imagesWithoutText: [...document.images].filter((image) => !image.alt).map((image) => image.src),
  };
}

// What has to be moved sideways to be read, or is cut off: more than code, which may be.
function sideways() {
  const moved = [...document.querySelectorAll("*")].filter(
    (element) =>
      element.scrollWidth > element.clientWidth + 1 &&
      (element === document.scrollingElement ||
        getComputedStyle(element).overflowX !== "visible") &&
      !element.closest("pre, .visually-hidden, input"),
  );
  return moved.map(({ tagName, className, scrollWidth }) => `${tagName} ${className}: ${scrollWidth} px`);
}

function channels(color) {
  const found = color.match(/[\d.]+/g).map(Number);
  if (color.startsWith("color(srgb")) found.splice(0, 3, ...found.slice(0, 3).map((c) => c * 255));
  return [found[0], found[1], found[2], found[3] ?? 1];
}

function over(top, below) {
  const mix = (i) => top[i] * top[3] + below[i] * (1 - top[3]);
  return [mix(0), mix(1), mix(2), 1];
}

// WCAG 2.2, "relative luminance" and "contrast ratio".
function luminance(color) {
  const linear = color.slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function ratio(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

// The colour behind an element of HTML; behind a text in an SVG, the last shape drawn under it.
function backgroundOf(element, box) {
  const layers = [];
  for (let above = element; above; above = above.parentElement) {
    layers.push(channels(getComputedStyle(above).backgroundColor));
  }
  const svg = element.closest("svg");
  if (svg) {
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const under = [...svg.querySelectorAll("rect")].filter((shape) => {
      const area = shape.getBoundingClientRect();
      return area.left <= x && x <= area.right && area.top <= y && y <= area.bottom;
    });
    layers.unshift(...under.reverse().map((shape) => channels(getComputedStyle(shape).fill)));
  }
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const scheme = getComputedStyle(document.documentElement).colorScheme;
  const canvas = dark && /dark/.test(scheme) ? [18, 18, 18, 1] : [255, 255, 255, 1];
  return layers.reverse().reduce((below, layer) => over(layer, below), canvas);
}

function opacityOf(element) {
  let opacity = 1;
  for (let above = element; above; above = above.parentElement) {
    opacity *= Number(getComputedStyle(above).opacity);
  }
  return opacity;
}

// Texts with less than WCAG's AA: 4.5 to 1, or 3 to 1 if large (24 px, bold 18.66 px).
function faintTexts() {
  const faint = [];
  for (const { node, element } of textsIn(document.documentElement)) {
    const style = getComputedStyle(element);
    const background = backgroundOf(element, boxOf(node));
    const color = channels(element.closest("svg") ? style.fill : style.color);
    color[3] *= opacityOf(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(over(color, background), background);
    if (found < (large ? 3 : 4.5)) faint.push(`${found.toFixed(2)}: ${excerpt(node)}`);
  }
  return faint;
}

// For a page that is a diagram: its lines of text, and the faults of where they lie.
function faultsOfDiagram() {
  const svg = document.documentElement;
  const shapes = [...svg.querySelectorAll("rect")].map((rect) => rect.getBoundingClientRect());
  const texts = textsIn(svg).map(({ node, element }) => ({
    text: excerpt(node),
    box: boxOf(node),
    size: parseFloat(getComputedStyle(element).fontSize),
  }));
  const faults = [];
  texts.forEach(({ text, box }, index) => {
    const around = shapes.filter((s) => s.left <= box.left && box.left <= s.right
      && s.top <= box.top && box.top <= s.bottom);
    const home = around[around.length - 1];
    if (!home) faults.push(`outside of every box: ${text}`);
    else if (box.right > home.right - 2 || box.bottom > home.bottom) faults.push(`too long: ${text}`);
    for (const other of texts.slice(index + 1)) {
      const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (width > 1 && height > 3) faults.push(`over each other: ${text} / ${other.text}`);
    }
  });
  return {
    faults,
    title: svg.querySelector("title")?.textContent.trim(),
    description: svg.querySelector("desc")?.textContent.trim(),
    width: svg.viewBox.baseVal.width,
    smallestText: Math.min(...texts.map(({ size }) => size)),
  };
}
