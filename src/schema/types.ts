// The column types that a table definition may use. One file per type stands in types/; this is only their list.

export { integer } from './types/integer.ts';
export { numeric } from './types/numeric.ts';
export { text } from './types/text.ts';
export { timestamp } from './types/timestamp.ts';
export { uuid } from './types/uuid.ts';
