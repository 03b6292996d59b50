// Line by line what an edit would change: the longest common subsequence, bounded.
const MOST = 2000;

export function difference(before, after) {
  const a = before.split("\n"), b = after.split("\n");
  if (a.length > MOST || b.length > MOST) return [["del", before], ["add", after]];
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      length[i * width + j] = a[i] === b[j]
        ? length[(i + 1) * width + j + 1] + 1
        : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  const lines = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(["same", a[i]]);
      i++; j++;
    } else if (j < b.length && (i === a.length || length[i * width + j + 1] > length[(i + 1) * width + j])) {
      lines.push(["add", b[j++]]);
    } else {
      lines.push(["del", a[i++]]);
    }
  }
  return lines;
}
