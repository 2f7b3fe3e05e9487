/** docs/errors.md: every error code with its cause, what debgeo did, and what to do. */
import { RULES, ruleOf, type ErrorCode } from '../domain/errors.ts';
import { GENERATED } from './markdown.ts';

const DID = {
  backoff: 'tries again by itself, ever slower, for ever',
  person: 'stopped there (a replication parks); nothing more happens until somebody acts',
  'at-once': 'took the next step without waiting; not a failure of the replication',
} as const;
const EXIT = {
  1: 'failed',
  2: 'usage',
  3: 'refused',
  4: 'unreachable',
  5: 'cancelled or paused',
} as const;

export const errorsPage = (): string => `# Errors

${GENERATED}

Every refusal and failure has one of these codes, in what a command prints, in \`debgeo status\`, in the log and in Temporal's UI. A command that
ends with one has the exit code given here. What a site serves stays as it is unless the code is about just that; \`debgeo retry\` tries at once what waits.

${(Object.keys(RULES) as ErrorCode[]).map(entryOf).join('\n\n')}
`;

const entryOf = (code: ErrorCode): string => {
  const { cause, then, exit, remedy } = ruleOf(code);
  return [
    `## ${code}`,
    '',
    `- When: ${cause}.`,
    `- debgeo: ${DID[then]}. Exit ${exit} (${EXIT[exit]}).`,
    `- Do: ${remedy}.`,
  ].join('\n');
};
