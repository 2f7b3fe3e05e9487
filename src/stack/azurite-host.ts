/**
 * The process in which one Azurite runs. It writes its metadata every five seconds and when it closes: killed, it forgets what it
 * has acknowledged. So it closes as soon as the keeper is gone, however that ended: the end of the IPC channel is the order.
 */
import { createRequire } from 'node:module';

process.once('disconnect', () => process.emit('message', 'shutdown', undefined));
createRequire(import.meta.url)('azurite/dist/src/blob/main.js');
