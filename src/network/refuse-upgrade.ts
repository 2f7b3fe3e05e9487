import type http from 'node:http';

/**
 * Has a request fail that is answered with 101, which nobody asked for. Without it Node ends the
 * connection and tells the request neither of an answer nor of an error (`close` alone): who waits
 * for one of them waits for ever, and no time and no abort ends it any more.
 */
export function refuseUpgrade(request: http.ClientRequest): void {
  request.once('upgrade', (_, socket) => {
    socket.destroy();
    request.emit('error', new Error('HTTP 101: another protocol, which was not asked for'));
  });
}
