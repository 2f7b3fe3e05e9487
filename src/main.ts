#!/usr/bin/env node
/**
 * argv → one command → its exit code. A command loads only what it needs: Temporal's worker alone
 * takes longer than most of them.
 */
import { Command, Option } from 'commander';

import { printError } from './cli/print-error.ts';
import type { CommandName } from './temporal/signals.ts';

const USAGE_EXIT = 2;

/** The reader of a pipe has gone (`| head`): stop quietly. */
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });

const program = new Command('debgeo')
  .description(
    'Keeps whole, authentic, verified copies of Debian distributions on many sites in' +
      ' Azure Blob Storage.',
  )
  .showHelpAfterError('(debgeo --help lists the commands)')
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE_EXIT));

/** Every command finds its servers through the environment, --demo or --dev. */
const command = (words: string, description: string): Command =>
  program
    .command(words)
    .description(description)
    .addOption(new Option('--demo', 'use the servers of a kept demo').conflicts('dev'))
    .addOption(new Option('--dev', 'use the servers of npm run dev'));

const run =
  <A extends unknown[]>(load: () => Promise<(...args: A) => Promise<number>>) =>
  async (...args: A): Promise<void> => {
    try {
      const work = await load();
      process.exitCode = await work(...args);
    } catch (error) {
      process.exitCode = printError(error);
    }
  };

command(
  'apply <file>',
  'configure archives, sites and distributions as a YAML file says; deletes nothing',
)
  .option('--dry-run', 'check the file and print what would change')
  .action(run(async () => (await import('./cli/apply.ts')).apply));
command('update <distribution>', 'look at the archive now')
  .option('--wait', 'until every site serves what debgeo found')
  .option('--accept-older <reason>', 'accept an older release once; the reason is recorded')
  .option('--json', 'print the status at the end')
  .action(run(async () => (await import('./cli/update.ts')).update));
command('status [distribution]', 'show what each site serves, holds and lacks')
  .option('--json', 'print JSON')
  .action(run(async () => (await import('./cli/status.ts')).status));
command('verify <distribution>', 'read every blob back, judge it, repair what is wrong')
  .option('--site <name>', 'only this site')
  .option('--wait', 'until every site is done')
  .option('--json', 'print the status at the end')
  .action(run(async () => (await import('./cli/verify.ts')).verify));
for (const [what, description] of Object.entries({
  retry: 'try again now: after a failure or a cancel, or when parked',
  cancel: 'stop copying until retry or the next generation; what was copied stays',
}) as [CommandName, string][])
  command(`${what} <distribution>`, description)
    .option('--site <name>', 'only this site')
    .action(
      run(async () => {
        const { laneCommand } = await import('./cli/lane-command.ts');
        return (name: string, options: { site?: string }) => laneCommand(what, name, options);
      }),
    );
for (const [what, description] of Object.entries({
  pause: 'stop after the current slice, until resume',
  resume: 'go on after a pause',
}) as ['pause' | 'resume', string][])
  command(
    `${what} [distribution]`,
    `${description}; without a distribution: the prune and the scrub of a site`,
  )
    .option('--site <name>', 'only this site')
    .action(
      run(async () => {
        const { laneCommand } = await import('./cli/lane-command.ts');
        const { siteCommand } = await import('./cli/site-command.ts');
        return (name: string | undefined, options: { site?: string; dev?: boolean }) => {
          if (name !== undefined) return laneCommand(what, name, options);
          if (options.site !== undefined) return siteCommand(what, options.site, options);
          return program.error(`error: a distribution, or --site; see debgeo ${what} --help`);
        };
      }),
    );
command('prune', 'delete now, at every site, what no kept snapshot names')
  .option('--site <name>', 'only this site')
  .option('--dry-run', 'print what would be deleted; delete nothing')
  .option('--json', 'print JSON')
  .action(run(async () => (await import('./cli/prune.ts')).prune));
command('release <site>', 'give a site back: another deployment may claim it; its files stay')
  .option('--reason <text>', 'also while it serves what is replicated; the reason is recorded')
  .action(run(async () => (await import('./cli/release.ts')).release));
command('adopt <site>', 'know again, after the database was lost, what a site serves')
  .requiredOption('--reason <text>', 'recorded')
  .option('--take-over', 'from the lost database, which has claimed the site')
  .option('--dry-run', 'read and judge, and say what would be adopted; change nothing')
  .option('--json', 'print JSON')
  .action(run(async () => (await import('./cli/adopt.ts')).adopt));
command('scrub <site>', 'show what the scrub of a site has read back and found')
  .option('--now', 'begin a pass now, and read without pauses')
  .option('--json', 'print JSON')
  .action(run(async () => (await import('./cli/scrub.ts')).scrub));
command('keys <distribution>', 'show the keys that are pinned, until when, and who signed last')
  .option('--json', 'print JSON')
  .action(run(async () => (await import('./cli/keys.ts')).keys));
command('worker', 'run workflows and the activities of the sites').action(
  run(async () => (await import('./cli/worker.ts')).worker),
);
command('migrate', 'bring the tables of the database to this version').action(
  run(async () => (await import('./cli/migrate.ts')).migrate),
);
command('doctor', 'show what is wrong, and what to type').action(
  run(async () => (await import('./cli/doctor.ts')).doctor),
);

await program.parseAsync();
