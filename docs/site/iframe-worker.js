// The theme looks for this file by its name.
// Search in pages that were opened from the disk. Browsers start no worker from file://, so the worker's script runs
// in a hidden frame that answers through the same messages.
"use strict";

if (location.protocol === "file:") {
  const load = (frame, url) =>
    new Promise((resolve, reject) => {
      const script = frame.document.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`cannot load ${url}`));
      frame.document.head.append(script);
    });

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.element = document.createElement("iframe");
      this.element.hidden = true;
      document.body.append(this.element);
      const frame = this.element.contentWindow;
      frame.postMessage = (data) => this.receive(data);
      frame.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => load(frame, each)), Promise.resolve());
      this.ready = load(frame, url);
    }

    receive(data) {
      const message = new MessageEvent("message", { data });
      this.dispatchEvent(message);
      this.onmessage?.(message);
    }

    postMessage(data) {
      const frame = this.element.contentWindow;
      this.ready.then(() => frame.dispatchEvent(new frame.MessageEvent("message", { data })));
    }

    terminate() {
      this.element.remove();
    }
  };
}
