/** Six ways in which a blob becomes another, or none. */
export const CORRUPTIONS = [
  'bit flip',
  'same-length swap',
  'truncation',
  'deletion',
  'zero length',
  'older version',
] as const;
export type Corruption = (typeof CORRUPTIONS)[number];
