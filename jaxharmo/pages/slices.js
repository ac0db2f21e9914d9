// The slices of the page, unpacked when they are first shown. See slices.py for their format.
const store = JSON.parse(document.getElementById("slices").textContent);
const unpacked = new Map();

const hu = (value) => store.lowest + store.step * value;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const signed = (value) => String(Math.round(value)).replace("-", "−");

function slice(number) {
  if (!unpacked.has(number)) unpacked.set(number, unpack(store.slices[number]));
  return unpacked.get(number);
}

async function unpack({ width, height, base, data }) {
  const packed = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = width * height, values = new Int16Array(count);
  for (let i = 0; i < count; i++) {
    const folded = bytes[i] | (bytes[count + i] << 8);
    const residual = folded & 1 ? -(folded + 1) / 2 : folded / 2;
    const hasAbove = i >= width, hasLeft = i % width > 0;
    const left = hasLeft ? values[i - 1] : hasAbove ? values[i - width] : 0;
    const above = hasAbove ? values[i - width] : left;
    values[i] = residual + ((left + above) >> 1);
  }
  if (base !== null) {
    const like = (await slice(base)).values;
    for (let i = 0; i < count; i++) values[i] += like[i];
  }
  return { width, height, values };
}
