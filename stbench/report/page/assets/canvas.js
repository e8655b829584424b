// Spots on tissue, drawn on a canvas.
const pictures = new Map(); // data URI → image that has been decoded

function picture(slide) {
  if (!slide.image) return null;
  if (!pictures.has(slide.image)) {
    const image = new Image();
    image.addEventListener("load", drawMaps);
    image.src = slide.image;
    pictures.set(slide.image, image);
  }
  const image = pictures.get(slide.image);
  return image.complete && image.naturalWidth ? image : null;
}

const decoded = new WeakMap();
function levels(column) {
  if (!decoded.has(column)) decoded.set(column, Uint8Array.from(atob(column.levels), (c) => c.charCodeAt(0)));
  return decoded.get(column);
}

// `paint(i)` gives the colour of spot i, or null for none; no paint draws the tissue alone.
function drawSlide(canvas, slide, tissue, paint) {
  const [width, height] = slide.size;
  const pixels = Math.min(1600, Math.round((canvas.clientWidth || 320) * (window.devicePixelRatio || 1)));
  canvas.width = pixels;
  canvas.height = Math.round((pixels * height) / width);
  const context = canvas.getContext("2d");
  context.scale(pixels / width, pixels / width);
  const image = tissue && picture(slide);
  if (image) {
    context.fillStyle = "#fff"; // the veil over tissue is white on a dark page too
    context.fillRect(0, 0, width, height);
    context.globalAlpha = paint ? 0.55 : 1;
    context.drawImage(image, 0, 0, width, height);
    context.globalAlpha = 1;
  }
  if (paint) {
    for (let i = 0; i < slide.x.length; i += 1) {
      const fillStyle = paint(i);
      if (fillStyle === null) continue;
      context.fillStyle = fillStyle;
      context.beginPath();
      if (slide.square) context.rect(slide.x[i] - slide.radius, slide.y[i] - slide.radius, 2 * slide.radius, 2 * slide.radius);
      else context.arc(slide.x[i], slide.y[i], slide.radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
  if (slide.um) scaleBar(context, slide, Boolean(image));
}

function scaleBar(context, slide, onTissue) {
  const [width, height] = slide.size;
  const um = [100, 200, 500, 1000, 2000, 5000].filter((length) => length / slide.um < width / 3).pop();
  if (!um) return;
  const style = getComputedStyle(document.body);
  context.fillStyle = onTissue ? "#111" : style.color;
  context.strokeStyle = onTissue ? "#fff" : style.backgroundColor;
  context.lineWidth = width * 0.012;
  context.fillRect(width * 0.03, height - width * 0.03, um / slide.um, width * 0.009);
  context.font = `${width * 0.042}px system-ui, sans-serif`;
  const text = um < 1000 ? `${um} µm` : `${um / 1000} mm`;
  context.strokeText(text, width * 0.03, height - width * 0.042);
  context.fillText(text, width * 0.03, height - width * 0.042);
}

function nearest(event, slide) {
  const box = event.currentTarget.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * slide.size[0];
  const y = ((event.clientY - box.top) / box.height) * slide.size[1];
  let best = -1;
  let least = (2.5 * slide.radius) ** 2;
  for (let i = 0; i < slide.x.length; i += 1) {
    const distance = (slide.x[i] - x) ** 2 + (slide.y[i] - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

// A panel: caption, canvas, and what to say of the spot under the pointer.
function panel(place, slide, title, remark, tissue, paint, say) {
  const canvas = el("canvas", { role: "img", "aria-label": `${title}${remark ? `, ${remark}` : ""}` });
  canvas.style.aspectRatio = `${slide.size[0]} / ${slide.size[1]}`;
  if (say) {
    canvas.addEventListener("pointermove", (event) => {
      const spot = nearest(event, slide);
      if (spot < 0) hideTip(); else showTip(event, say(spot));
    });
    canvas.addEventListener("pointerleave", hideTip);
  }
  place.append(el("figure", null, el("figcaption", null, el("b", null, title), el("small", null, remark || "\u00a0")), canvas));
  drawSlide(canvas, slide, tissue, paint);
}
