/** Workflows of a version that has a bug: each of their tasks fails. */
export async function distribution(): Promise<void> {
  throw new TypeError('this version has a bug');
}

export async function site(): Promise<void> {
  await distribution();
}
