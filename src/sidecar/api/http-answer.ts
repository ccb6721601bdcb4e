/** An answer of the HTTP side before it is written: JSON, but for the metrics. */
export interface Answer {
  status: number;
  body: string;
  contentType?: string;
  allow?: string;
  /** What went wrong inside, for the log. */
  failure?: unknown;
}

export function jsonAnswer(status: number, value: object): Answer {
  return { status, body: `${JSON.stringify(value)}\n`, contentType: "application/json; charset=utf-8" };
}

export function errorAnswer(status: number, error: string): Answer {
  return jsonAnswer(status, { error });
}
