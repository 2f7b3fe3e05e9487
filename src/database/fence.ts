/** FENCED is raised here and nowhere else. */
import { DebgeoError } from '../domain/errors.ts';

/** What an attempt holds is not so any more. */
export const fenced = (
  message: string,
  facts: { readonly expected?: string; readonly found?: string } = {},
): DebgeoError => new DebgeoError('FENCED', message, facts);

/** A newer attempt, a failure, a cancel or the removal of the lane has ended this attempt. */
export const overtaken = (what: string, claim: { readonly claim: number | null }): DebgeoError =>
  fenced(`a newer attempt works on ${what}`, {
    expected: claim.claim === null ? 'the newest attempt' : `claim ${claim.claim}`,
    found: claim.claim === null ? 'a newer one' : 'it has ended',
  });
