// Upload folders, follow a job, request a prediction, count changed labels. Each part runs only on its page.
"use strict";

const $ = (id) => document.getElementById(id);

/** Send a request; a refusal is thrown as an Error with the server's message. */
async function ask(address, options) {
  const answer = await fetch(address, { ...options, headers: { "X-Part": "1", ...options?.headers } });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

const post = (address, body, headers) => ask(address, { method: "POST", body, headers });

/** Show a problem, or hide it. */
function showProblem(place, problem) {
  place.textContent = problem ? problem.message || String(problem) : "";
  place.hidden = !problem;
  if (problem) place.scrollIntoView({ block: "nearest" });
}

/** Call `handle` with what is dropped on an element. */
function droppable(place, handle) {
  const stop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.toggle("over", event.type !== "drop");
  };
  for (const kind of ["dragover", "dragenter"]) place.addEventListener(kind, stop);
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    stop(event);
    handle(event.dataTransfer);
  });
}

/* A job: its part of the page is replaced until the job is finished */

async function follow(place) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 700));
    try {
      const answer = await ask(place.dataset.from);
      refresh(place, await answer.text());
      if (answer.headers.get("X-Go-To")) return location.assign(answer.headers.get("X-Go-To"));
      if (answer.headers.get("X-Status") !== "running") return;
    } catch {
      // the server may be restarting: try again
    }
  }
}

/** Replace the content; keep the focus and the scroll position of the log; announce a new stage once. */
function refresh(place, html) {
  const focused = place.contains(document.activeElement) && document.activeElement.textContent;
  const before = place.querySelector(".notes");
  const wasAtEnd = !before || before.scrollTop + before.clientHeight >= before.scrollHeight - 4;
  const scrolled = before?.scrollTop;
  place.innerHTML = html;
  const notes = place.querySelector(".notes");
  if (notes) notes.scrollTop = wasAtEnd ? notes.scrollHeight : scrolled;
  if (focused) [...place.querySelectorAll("button, a")].find((element) => element.textContent === focused)?.focus();
  const stage = (place.querySelector(".timeline .now .name") || place.querySelector(".lead")).textContent;
  if ($("announced").textContent !== stage) $("announced").textContent = stage;
}

if ($("progress")?.hasAttribute("data-live")) follow($("progress"));

/* Uploads: a list of [path, file], sent file by file */

/** All files of a dropped entry, with their paths. */
async function filesIn(entry, path = "") {
  if (entry.isFile) return [[path + entry.name, await new Promise((done, fail) => entry.file(done, fail))]];
  const reader = entry.createReader(), files = [];
  for (;;) {
    const entries = await new Promise((done, fail) => reader.readEntries(done, fail)); // some per call
    if (!entries.length) return files;
    for (const child of entries) files.push(...(await filesIn(child, `${path}${entry.name}/`)));
  }
}

/** The name and the files of what was dropped. */
async function readDropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [];
  for (const entry of entries) files.push(...(await filesIn(entry)));
  return [entries[0] ? stem(entries[0].name) : "upload", files];
}

const stem = (name) => name.replace(/\.[^.]+$/, "");
const isHidden = (path) => path.split("/").some((part) => /^(\.|__MACOSX$|Thumbs\.db$)/.test(part));

async function send(name, files) {
  const visible = files.filter(([path]) => !isHidden(path));
  if (!visible.length) throw new Error("No files to upload.");
  const total = visible.reduce((sum, [, file]) => sum + file.size, 0), most = Number($("upload").dataset.maxMb);
  if (total > most * 2 ** 20) {
    const size = Math.round(total / 2 ** 20);
    throw new Error(`${size} MB is more than the limit of ${most} MB: use a folder on this machine instead.`);
  }
  const { upload } = await (await post("/uploads", new URLSearchParams({ name }))).json();
  try {
    await sendAll(`/uploads/${upload}`, visible, total);
    const { data } = await (await post(`/uploads/${upload}/finish`)).json();
    location.assign(`/data?path=${encodeURIComponent(data)}`);
  } catch (problem) {
    fetch(`/uploads/${upload}`, { method: "DELETE" }).catch(() => {});
    $("sending").hidden = true;
    throw problem;
  }
}

/** Send files, four at a time; files of other types are skipped. */
async function sendAll(address, files, total) {
  let next = 0, sent = 0, skipped = 0;
  const sendNext = async () => {
    while (next < files.length) {
      const [path, file] = files[next++];
      try {
        const place = path.split("/").map(encodeURIComponent).join("/");
        await ask(`${address}/${place}`, { method: "PUT", body: file });
      } catch (problem) {
        if (!problem.message.includes("expected an image")) throw problem; // another kind of file
        skipped += 1;
      }
      sent += file.size;
      const share = (100 * sent) / (total || 1), bar = $("sending").querySelector(".tracks");
      bar.firstElementChild.style.width = `${share}%`;
      bar.setAttribute("aria-valuenow", Math.round(share));
      const note = skipped ? `, ${skipped} of other types skipped` : "";
      $("sent").textContent = `${next} of ${files.length} files${note}`;
    }
  };
  $("sending").hidden = false;
  await Promise.all([sendNext(), sendNext(), sendNext(), sendNext()]);
}

/** A row of the form: a class with its images. */
function classRow() {
  const row = $("class-row").content.firstElementChild.cloneNode(true);
  const classFiles = { name: row.querySelector("[type=text]"), files: [] };
  const add = (files) => {
    classFiles.files.push(...files);
    row.lastElementChild.textContent = `${classFiles.files.length} file${classFiles.files.length === 1 ? "" : "s"}`;
  };
  row.querySelector("[type=file]").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  droppable(row, async (transfer) => {
    const [name, files] = await readDropped(transfer);
    add(files.map(([, file]) => file));
    if (!classFiles.name.value && files[0]?.[0].includes("/")) classFiles.name.value = name;
  });
  $("classes").append(row);
  return classFiles;
}

/** The files of a class with their paths; numbered, because two cameras may give two files the same name. */
function filesOf({ name, files }) {
  const folder = name.value.trim().replace(/[/\\]/g, "-");
  return files.map((file, i) => [`${folder}/${String(i).padStart(4, "0")}-${file.name}`, file]);
}

if ($("upload")) {
  const start = (name, files) => {
    showProblem($("upload-problem"));
    send(name, files).catch((problem) => showProblem($("upload-problem"), problem));
  };
  droppable($("drop"), async (transfer) => start(...(await readDropped(transfer))));
  $("files").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    if (file) start(stem(file.name), [[file.name, file]]);
    target.value = "";
  });
  $("folder").addEventListener("change", ({ target }) => {
    const files = [...target.files].map((file) => [file.webkitRelativePath, file]);
    if (files.length) start(files[0][0].split("/")[0], files);
    target.value = "";
  });
  const rows = [classRow(), classRow()];
  $("more").addEventListener("click", () => {
    rows.push(classRow());
    rows.at(-1).name.focus();
  });
  $("upload").addEventListener("submit", (event) => {
    event.preventDefault();
    const used = rows.filter((row) => row.files.length);
    const nameless = used.find((row) => !row.name.value.trim());
    if (nameless) {
      nameless.name.focus();
      return showProblem($("upload-problem"), "Enter the name of the class of these images.");
    }
    start(used.map((row) => row.name.value.trim()).join("-").slice(0, 40), used.flatMap(filesOf));
  });
}

/* Try it */

let requests = 0; // only the response to the last request is shown

async function predict(content, name, type) {
  const request = ++requests, place = $("answer");
  showProblem($("answer-problem"));
  place.setAttribute("aria-busy", "true");
  if (!place.querySelector("section")) place.textContent = "Predicting …";
  try {
    const address = `${$("question").dataset.to}?name=${encodeURIComponent(name)}`;
    const html = await (await post(address, content, { "Content-Type": type })).text();
    if (request === requests) place.innerHTML = html;
  } catch (problem) {
    if (request !== requests) return;
    place.textContent = "";
    showProblem($("answer-problem"), problem);
  }
  place.removeAttribute("aria-busy");
}

const predictFile = (file) => file && predict(file, file.name || "image", "application/octet-stream");

function cameraOff() {
  $("video").srcObject?.getTracks().forEach((track) => track.stop());
  $("video").srcObject = null;
  $("camera").hidden = true;
}

async function cameraOn() {
  showProblem($("answer-problem"));
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play(); // before the button can take an image
    $("camera").hidden = false;
    $("shoot").focus();
  } catch (problem) {
    showProblem($("answer-problem"), `The camera cannot be used: ${problem.message}.`);
  }
}

function shoot() {
  const canvas = document.createElement("canvas"), video = $("video");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => predict(blob, "camera", "application/octet-stream"), "image/jpeg", 0.92);
}

if ($("image")) {
  $("image").addEventListener("change", ({ target }) => {
    predictFile(target.files[0]);
    target.value = "";
  });
  droppable($("question"), (transfer) => predictFile(transfer.files[0]));
  addEventListener("paste", (event) => predictFile(event.clipboardData.files[0]));
}

if ($("webcam")) {
  $("webcam").hidden = !navigator.mediaDevices?.getUserMedia;
  $("webcam").addEventListener("click", cameraOn);
  $("shoot").addEventListener("click", shoot);
  $("no-camera").addEventListener("click", cameraOff);
  addEventListener("pagehide", cameraOff);
}

if ($("text")) {
  $("question").addEventListener("submit", (event) => {
    event.preventDefault();
    predict($("text").value, "text", "text/plain");
  });
}

/* Label issues: count the changed labels, and keep the buttons and the list of one issue consistent */

if ($("relabel")) {
  const fields = [...document.querySelectorAll("[form=relabel]")];
  const isSelect = (field) => field.tagName === "SELECT";
  const numberOf = (field) => field.name.split("-")[1];
  const agree = (changed) => {
    for (const other of changed.type === "checkbox" ? [] : fields) {
      if (other === changed || numberOf(other) !== numberOf(changed)) continue;
      if (isSelect(changed) && changed.value && !isSelect(other)) other.checked = false;
      if (isSelect(changed) && !changed.value && other.value === "") other.checked = true;
      if (!isSelect(changed) && isSelect(other)) other.value = "";
    }
    count();
  };
  const isChange = (field) =>
    field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value && (isSelect(field) || field.checked);
  const count = () => {
    const n = new Set(fields.filter(isChange).map(numberOf)).size;
    const labels = n ? `${n} changed label${n === 1 ? "" : "s"}` : "changed labels";
    const button = $("relabel").querySelector("button");
    button.textContent = `Train again with ${labels}`;
    button.disabled = !n;
  };
  for (const field of fields) field.addEventListener("change", () => agree(field));
  count(); // a browser keeps the chosen labels when it returns to the page
}
