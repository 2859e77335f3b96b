// Gradio's page believes its stream of events open until it has read that the server closed it; what it sends
// meanwhile is done, and never shown. Here a closed stream is continued as long as such an event waits to be heard of.
(() => {
  const load = window.fetch.bind(window);
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const sent = new Set();
  const heard = new Set();
  let sending = 0;
  let closing = Promise.resolve();

  async function send(...request) {
    sending += 1;
    try {
      const response = await load(...request);
      const { event_id } = await response.clone().json().catch(() => ({}));
      if (response.ok && event_id) sent.add(event_id);
      if (!response.ok) window.medchat.giveBack();
      await closing;
      return response;
    } catch (error) {
      window.medchat.giveBack();
      throw error;
    } finally {
      sending -= 1;
    }
  }

  // Passes the messages on; whether the stream is to be continued.
  async function pass(response, controller) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const messages = (text + part.value).split("\n\n");
      text = messages.pop();
      for (const message of messages) {
        const { msg, event_id } = JSON.parse(message.replace(/^data: /, ""));
        heard.add(event_id);
        if (msg === "close_stream") {
          while (sending) await pause(10);
          if ([...sent].some((id) => !heard.has(id))) return true;
          sent.clear();
          heard.clear();
          closing = pause(100); // what is sent from here on must find it closed
        }
        controller.enqueue(new TextEncoder().encode(`${message}\n\n`));
      }
    }
    return false;
  }

  async function listen(...request) {
    let response = await load(...request);
    if (!response.ok) return response;
    const { status, headers } = response;
    const start = async (controller) => {
      try {
        while (await pass(response, controller)) response = await load(...request);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    };
    return new Response(new ReadableStream({ start }), { status, headers });
  }

  window.fetch = (...request) => {
    const { pathname } = new URL(request[0].url ?? request[0], location.href);
    const wrapped = pathname.endsWith("/queue/join") ? send : pathname.endsWith("/queue/data") ? listen : load;
    return wrapped(...request);
  };
})();
