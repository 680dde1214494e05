// Material's search runs in a worker, and browsers start no workers from files. There, a hidden frame takes its place.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget { // the second name tells the search where it is
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script src="${url}"></script>`;
      this.ready = new Promise(resolve => {
        this.frame.onload = () => {
          this.frame.contentWindow.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
          resolve();
        };
      });
      document.body.append(this.frame);
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data})));
    }
  };
}
