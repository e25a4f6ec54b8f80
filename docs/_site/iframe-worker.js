// Search on pages that are opened from the disk: browsers give them no workers, so a hidden frame does their work.
// Answers to the same calls as a Worker: postMessage, addEventListener("message"), onmessage, terminate.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inside = this.frame.contentWindow;
      inside.parentMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      this.ready = new Promise((resolve) => (inside.isReady = resolve));
      inside.document.open();
      inside.document.write(
        "<script>" +
          "postMessage = (data) => parentMessage(data);" +
          "importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, fail) => {" +
          "  const script = document.createElement('script');" +
          "  script.src = url; script.onload = done; script.onerror = fail; document.body.appendChild(script);" +
          "})), Promise.resolve());" +
          "</script><body><script src='" + url + "'></script><script>isReady()</script></body>",
      );
      inside.document.close();
    }

    postMessage(data) {
      this.ready.then(() => {
        const inside = this.frame.contentWindow;
        inside.dispatchEvent(new inside.MessageEvent("message", { data }));
      });
    }

    terminate() {
      this.frame.remove();
    }
  };
}
