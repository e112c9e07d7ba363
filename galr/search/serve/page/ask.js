// Requests to the server that the page came from.

/** The answer, or an Error whose message is for people. */
export async function ask(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered with the status ${response.status}.`);
  return answer;
}

/** Searches for {text, like, k, weight, rerank, bbox, where}, with an image file where there is one. */
export function search(question, file, signal) {
  if (file === null) {
    const headers = { "content-type": "application/json" };
    return ask("/api/search", { method: "POST", headers, body: JSON.stringify(question), signal });
  }
  const { like, ...rest } = question;
  const headers = { "content-type": file.type.startsWith("image/") ? file.type : "application/octet-stream" };
  return ask(`/api/search/image?${new URLSearchParams(rest)}`, { method: "POST", headers, body: file, signal });
}
