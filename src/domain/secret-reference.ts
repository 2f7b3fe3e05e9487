/** Where a secret is, where the worker runs. The secret itself is read there, and never stored. */

/** A variable of the worker's environment, or a file. */
export type SecretReference = { readonly env: string } | { readonly file: string };

/**
 * A configuration is often written by others than those who run the worker: it may name what they
 * set for debgeo, and not the password of its database or a token of their cloud. The settings of
 * debgeo itself hold no secret; one that did would have to be left out here.
 */
const NAMEABLE = /^DEBGEO_\w+$/;

/** Why no reference may name this variable; null where it may. */
export const faultOfVariable = (name: string): string | null =>
  NAMEABLE.test(name)
    ? null
    : 'a variable of the worker whose name begins with DEBGEO_: rename it there and here';

/** As a message names it. */
export const nameOf = (reference: SecretReference): string =>
  'env' in reference ? `variable ${reference.env}` : `file ${reference.file}`;
