/** Every function exported here is a workflow type. */
export { distribution } from './distribution.ts';
export { site } from './site.ts';
