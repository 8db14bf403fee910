// CRC-32 of two adjacent ranges from the CRCs of each, so that neighbouring slices can be merged without reading a file again.
// Computing a CRC is not done here: zlib.crc32 does that, at 4 GB/s.

/** The polynomial of zlib's crc32, reflected: bit 31 is the coefficient of x^0. */
const POLYNOMIAL = 0xedb8_8320;

const ONE = 0x8000_0000;

/** x^(8 * 2^k) modulo the polynomial, for k = 0..52: byte lengths are below 2^53. */
const POWERS = powers();

/** CRC-32 of `a` followed by `b`, from their CRCs (unsigned) and the length of `b` in bytes (below 2^53). */
export function combine(crcA: number, crcB: number, lengthB: number): number {
  return (multiply(shift(lengthB), crcA) ^ crcB) >>> 0;
}

/** x^(8 * bytes) modulo the polynomial. */
function shift(bytes: number): number {
  let product = ONE;
  let rest = bytes;
  for (let k = 0; rest > 0; k += 1) {
    if (rest % 2 === 1) product = multiply(product, POWERS[k] ?? 0);
    rest = Math.floor(rest / 2);
  }
  return product;
}

/** Product of two polynomials over GF(2), modulo the CRC polynomial; 32 steps. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = ONE; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) === 0 ? factor >>> 1 : (factor >>> 1) ^ POLYNOMIAL;
  }
  return product >>> 0;
}

function powers(): number[] {
  // x^8, then each the square of the one before.
  let power = ONE >>> 8;
  const list = [power];
  for (let k = 1; k < 53; k += 1) {
    power = multiply(power, power);
    list.push(power);
  }
  return list;
}
