/**
 * The process of the demo's worker: the command `debgeo worker` and nothing else, but that it ends
 * as on SIGTERM when the demo is gone, however that ended. Forked with an IPC channel by
 * open-stage.ts.
 */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();
await import('../main.ts');
