// Attention of one head in two ways, on lists of numbers: q, k and v are N × d. Computed in single precision, as models do.

const dot = (a, b) => a.reduce((sum, x, i) => Math.fround(sum + Math.fround(x * b[i])), 0);

// The textbook's: all scores of a token, their softmax, the weighted sum. Returns what is mixed, and how many scores are held at once.
export function full({ q, k, v }) {
  const scale = 1 / Math.sqrt(q[0].length);
  const mixed = q.map((query, i) => {
    const scores = k.slice(0, i + 1).map((key) => dot(query, key) * scale);
    const most = Math.max(...scores);
    const weights = scores.map((score) => Math.fround(Math.exp(score - most)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return v[0].map((_, d) => weights.reduce((sum, weight, j) => Math.fround(sum + weight * v[j][d]), 0) / total);
  });
  return { mixed, held: q.length ** 2 };
}

// Flash attention's: tile by tile, with the largest score and the sum so far. Dao et al. 2022, "FlashAttention", algorithm 1.
// `steps` has, after each tile, the weights that the last tokens have given so far.
export function tiled({ q, k, v }, size) {
  const scale = 1 / Math.sqrt(q[0].length);
  const state = q.map(() => ({ most: -Infinity, total: 0, mixed: v[0].map(() => 0) }));
  const scores = q.map(() => []);
  const steps = [];
  for (let start = 0; start < k.length; start += size) {
    for (let i = start; i < q.length; i++) {
      const own = state[i];
      const tile = k.slice(start, Math.min(start + size, i + 1)).map((key) => dot(q[i], key) * scale);
      const most = Math.max(own.most, ...tile);
      const shrink = Math.exp(own.most - most); // what was computed with a smaller maximum is corrected
      const weights = tile.map((score) => Math.fround(Math.exp(score - most)));
      own.total = own.total * shrink + weights.reduce((sum, weight) => sum + weight, 0);
      own.mixed = own.mixed.map((x, d) => Math.fround(x * shrink + weights.reduce((sum, weight, j) => sum + weight * v[start + j][d], 0)));
      own.most = most;
      scores[i].push(...tile);
    }
    steps.push(picture(scores, state));
  }
  return { mixed: state.map(({ mixed, total }) => mixed.map((x) => x / total)), held: size * q.length, steps };
}

function picture(scores, state, rows = 32) {
  const n = scores.length;
  return scores.slice(-rows).map((own, i) => {
    const { most } = state[n - Math.min(rows, n) + i];
    return Array.from({ length: rows }, (_, x) => {
      const part = own.slice(Math.floor((x * n) / rows), Math.floor(((x + 1) * n) / rows));
      return part.length ? Math.max(...part.map((score) => Math.exp(score - most))) : 0;
    });
  });
}

// The largest difference between two lists of lists.
export const differences = (a, b) => Math.max(...a.flatMap((row, i) => row.map((x, d) => Math.abs(x - b[i][d]))));
