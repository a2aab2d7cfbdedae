/** What kind of content a body is, judged by its first bytes. */
export interface TypeDetector {
  /** How many first bytes it wants to see; fewer are enough when the body is shorter. */
  readonly bytesWanted: number;
  /**
   * Resolves to the type to store and to judge by: what the bytes show, refined by what the client
   * declared where the two agree, `application/octet-stream` where the bytes contradict it.
   */
  detect(firstBytes: Uint8Array, declared: string | undefined): Promise<string> | string;
}
