/**
 * The peak of the worker's resident set while it replicates 63,000 packages: a first sync and nine
 * releases that change 1 %, each with a peak of its own.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Corpus } from '../corpus.ts';
import { openInstallation } from '../installation.ts';
import type { WorkGroup } from '../work.ts';
import { openManyPackages } from './many-packages.ts';

/** Written to /proc/PID/clear_refs it resets VmHWM (proc_pid_clear_refs(5)). */
const RESET_PEAK = '5';
/** Longer than `gatherMs`, the second that debgeo waits between two looks. */
const ALONE_MS = 1_100;

let corpus: Corpus;

export const memory: WorkGroup = {
  works: ['memory'],
  roundsMax: 1,
  async prepare(bench) {
    corpus = await openManyPackages(bench);
  },
  async round({ testbed, book }, round) {
    const installation = await openInstallation(testbed, { corpus, sites: 1 });
    try {
      const idle = installation.peakMemory() / 1e6;
      const peaks: number[] = [];
      const seconds: number[] = [];
      for (let release = 0; release <= corpus.releases.length; release += 1) {
        await testbed.archive.release(corpus, release);
        writeFileSync(`/proc/${installation.pid}/clear_refs`, RESET_PEAK);
        seconds.push(await installation.update());
        peaks.push(installation.peakMemory() / 1e6);
        const [took, peak] = [seconds.at(-1)!.toFixed(1), peaks.at(-1)!.toFixed(0)];
        testbed.say(`memory  run ${release + 1}  ${took} s, peak ${peak} MB`);
        await sleep(ALONE_MS);
      }
      const [first, ...later] = peaks as [number, ...number[]];
      const facts = {
        blobs: corpus.files.length,
        'peak of the start': `${idle.toFixed(0)} MB`,
        'first run': `${first.toFixed(0)} MB in ${seconds[0]!.toFixed(1)} s`,
        'later runs': later.map((peak) => peak.toFixed(0)).join(' '),
        seconds: seconds
          .slice(1)
          .map((one) => one.toFixed(1))
          .join(' '),
      };
      book.add({
        work: 'memory',
        contender: 'debgeo',
        round,
        value: Math.max(...peaks),
        unit: 'MB',
        facts,
      });
    } finally {
      await installation.close();
    }
  },
};
