// Where the voxels of a CT are and how three planes and the contours cut them. Knows nothing of the page.

"use strict";

export class Volume {
  constructor(ct) {
    this.columns = ct.columns;
    this.rows = ct.rows;
    this.slices = ct.slices;
    this.hu = new Int16Array(ct.columns * ct.rows * ct.slices);
    this.here = new Uint8Array(ct.slices);
    this.columnStep = ct.column_step_lps_mm;
    this.rowStep = ct.row_step_lps_mm;
    this.origins = ct.slice_origins_lps_mm;
    this.offsets = ct.slice_offsets_mm;
    this.columnMm = Math.hypot(...ct.column_step_lps_mm);
    this.rowMm = Math.hypot(...ct.row_step_lps_mm);
    this.normal = cross(this.columnStep, this.rowStep).map((value) => value / (this.columnMm * this.rowMm));
  }

  take(first, values) {
    const size = this.rows * this.columns;
    this.hu.set(values, first * size);
    this.here.fill(1, first, first + values.length / size);
  }

  at(slice, row, column) {
    return this.hu[(slice * this.rows + row) * this.columns + column];
  }

  position(slice, row, column) {
    return this.origins[slice].map((value, i) => value + row * this.rowStep[i] + column * this.columnStep[i]);
  }

  // The slice that lies nearest to an offset along the normal.
  sliceAt(offset) {
    const offsets = this.offsets;
    let low = 0;
    let high = offsets.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (offsets[middle] <= offset) low = middle;
      else high = middle;
    }
    return offset - offsets[low] <= offsets[high] - offset ? low : high;
  }
}

// A plane's pixels: which voxel is drawn where. `across` and `down` are unit directions in the patient.
export class Plane {
  constructor(volume, name) {
    this.volume = volume;
    this.name = name;
    const { columns, rows, slices, columnMm, rowMm, columnStep, rowStep, normal, offsets } = volume;
    const extent = slices > 1 ? offsets[slices - 1] - offsets[0] : 1;
    let least = extent || 1;
    for (let k = 1; k < slices; k++) least = Math.min(least, offsets[k] - offsets[k - 1]);
    const heads = unit(columnStep);
    const feet = unit(rowStep);
    if (name === "axial") {
      Object.assign(this, { count: slices, width: columns, height: rows, acrossMm: columnMm, downMm: rowMm });
      this.across = heads;
      this.down = feet;
      return;
    }
    this.width = name === "coronal" ? columns : rows;
    this.count = name === "coronal" ? rows : columns;
    this.acrossMm = name === "coronal" ? columnMm : rowMm;
    this.downMm = Math.max(least, extent / 4095);
    this.height = Math.round(extent / this.downMm) + 1;
    this.across = name === "coronal" ? heads : feet;
    // The end of the stack that is nearer to the head is on top.
    this.turned = strongest(normal) > 0;
    this.down = normal.map((value) => (this.turned ? -value : value));
    this.sliceOf = new Int32Array(this.height);
    for (let y = 0; y < this.height; y++) {
      const fromFirst = (this.turned ? this.height - 1 - y : y) * this.downMm;
      this.sliceOf[y] = volume.sliceAt(offsets[0] + fromFirst);
    }
  }

  yOfSlice(k) {
    const y = (this.volume.offsets[k] - this.volume.offsets[0]) / this.downMm;
    return this.turned ? this.height - 1 - y : y;
  }

  // [slice, row, column] of a pixel of the picture.
  voxel(index, x, y) {
    if (this.name === "axial") return [index, y, x];
    return this.name === "coronal" ? [this.sliceOf[y], index, x] : [this.sliceOf[y], x, index];
  }

  paint(index, table, out) {
    const { hu, rows, columns } = this.volume;
    const { width, height } = this;
    if (this.name === "axial") {
      const from = index * rows * columns;
      for (let i = 0; i < width * height; i++) out[i] = table[hu[from + i] & 0xffff];
      return;
    }
    const step = this.name === "coronal" ? 1 : columns;
    for (let y = 0, i = 0; y < height; y++) {
      let from = this.sliceOf[y] * rows * columns + (this.name === "coronal" ? index * columns : index);
      for (let x = 0; x < width; x++, i++, from += step) out[i] = table[hu[from] & 0xffff];
    }
  }
}

// An ROI whose contours can be cut by any of the three planes.
export class Roi {
  constructor(drawn) {
    Object.assign(this, { name: drawn.name, number: drawn.number, volume: drawn.volume_cm3 });
    this.first = drawn.first_slice;
    this.last = drawn.last_slice;
    this.color = `rgb(${drawn.color.join(",")})`;
    this.faint = `rgba(${drawn.color.join(",")},0.28)`;
    this.shown = true;
    this.polygons = new Map();
    for (const [k, polygons] of Object.entries(drawn.polygons)) {
      this.polygons.set(Number(k), polygons.map((points) => Float32Array.from(points)));
    }
  }

  // Where a line of constant row (axis 1) or column (axis 0) runs inside on a slice: ends by turns, ascending.
  spans(k, axis, at) {
    const ends = [];
    for (const points of this.polygons.get(k) || []) {
      const n = points.length;
      for (let i = 0; i < n; i += 2) {
        const j = (i + 2) % n;
        const a = points[i + axis];
        const b = points[j + axis];
        if (a <= at !== b <= at) {
          const other = 1 - axis;
          ends.push(points[i + other] + ((at - a) / (b - a)) * (points[j + other] - points[i + other]));
        }
      }
    }
    return ends.sort((a, b) => a - b);
  }
}

// L or R, P or A, S or I: the letters of a direction in the patient, the strongest first, weak ones left out.
export function letters(direction) {
  const names = [["R", "L"], ["A", "P"], ["I", "S"]];
  return direction
    .map((value, i) => [Math.abs(value), names[i][value > 0 ? 1 : 0]])
    .filter(([size]) => size > 0.3)
    .sort((a, b) => b[0] - a[0])
    .map(([, letter]) => letter)
    .join("");
}

function strongest(direction) {
  return direction.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
}

function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}
