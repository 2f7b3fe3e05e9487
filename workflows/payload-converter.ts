/**
 * How values travel: as the SDK's own converter has it, except that no payload throws. The SDK
 * decodes the arguments of a signal before it asks for a handler (sdk-typescript#1174): one signal
 * that a client has encrypted, or sent with an encoding of its own, would fail every workflow task
 * of the run, for ever.
 *
 * Clients, workers and the workflow bundle load this file by its path.
 */
import {
  DefaultPayloadConverter,
  type ConverterHint,
  type Payload,
  type SerializationContext,
} from '@temporalio/common';

import { printable } from '../src/domain/text.ts';

/** What an argument is that cannot be read: an object that no signal takes for a site. */
interface Unreadable {
  readonly unreadable: string;
}

class ForgivingPayloadConverter extends DefaultPayloadConverter {
  override fromPayload<T>(
    payload: Payload,
    context?: SerializationContext,
    hint?: ConverterHint<T>,
  ): T {
    try {
      return super.fromPayload(payload, context, hint);
    } catch (error) {
      const unreadable: Unreadable = { unreadable: printable((error as Error).message) };
      return unreadable as T;
    }
  }
}

/** By this name the SDK looks for it. */
export const payloadConverter = new ForgivingPayloadConverter();
