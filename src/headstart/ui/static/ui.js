// What HTML cannot do alone: send folders, follow a job, ask about a picture. Each part begins where its page has it.
"use strict";

const $ = (id) => document.getElementById(id);

/** Ask the server; what it refuses is an Error with its own words. */
async function ask(address, options) {
  const answer = await fetch(address, { ...options, headers: { "X-Part": "1", ...options?.headers } });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

const post = (address, body, headers) => ask(address, { method: "POST", body, headers });

/** Show what is wrong, or nothing. */
function tell(place, problem) {
  place.textContent = problem ? problem.message || String(problem) : "";
  place.hidden = !problem;
  if (problem) place.scrollIntoView({ block: "nearest" });
}

/** Make a place take what is dropped on it. */
function droppable(place, take) {
  const stop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    place.classList.toggle("over", event.type !== "drop");
  };
  for (const kind of ["dragover", "dragenter"]) place.addEventListener(kind, stop);
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    stop(event);
    take(event.dataTransfer);
  });
}

/* A job: its part of the page is made anew by the server until it is over */

async function follow(place) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 700));
    try {
      const answer = await ask(place.dataset.from);
      refresh(place, await answer.text());
      if (answer.headers.get("X-Go-To")) return location.assign(answer.headers.get("X-Go-To"));
      if (answer.headers.get("X-Status") !== "running") return;
    } catch {
      // the server may be back in a moment
    }
  }
}

/** Put in new content; the focus, the end of the notes, and what a screen reader has said already, stay. */
function refresh(place, html) {
  const focused = place.contains(document.activeElement) && document.activeElement.textContent;
  const before = place.querySelector(".notes");
  const wasAtEnd = !before || before.scrollTop + before.clientHeight >= before.scrollHeight - 4;
  const scrolled = before?.scrollTop;
  place.innerHTML = html;
  const notes = place.querySelector(".notes");
  if (notes) notes.scrollTop = wasAtEnd ? notes.scrollHeight : scrolled;
  if (focused) [...place.querySelectorAll("button, a")].find((one) => one.textContent === focused)?.focus();
  const stage = (place.querySelector(".timeline .now .name") || place.querySelector(".lead")).textContent;
  if ($("announced").textContent !== stage) $("announced").textContent = stage;
}

if ($("progress")?.hasAttribute("data-live")) follow($("progress"));

/* Bring data: a list of [path, file], sent one by one */

/** All files in what was dropped, with their paths. */
async function filesIn(entry, path = "") {
  if (entry.isFile) return [[path + entry.name, await new Promise((done, fail) => entry.file(done, fail))]];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const entries = await new Promise((done, fail) => reader.readEntries(done, fail)); // some at a time
    if (!entries.length) return found;
    for (const one of entries) found.push(...(await filesIn(one, `${path}${entry.name}/`)));
  }
}

/** What was dropped: its name, and its files. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [];
  for (const entry of entries) files.push(...(await filesIn(entry)));
  return [entries[0] ? stem(entries[0].name) : "upload", files];
}

const stem = (name) => name.replace(/\.[^.]+$/, "");
const isHidden = (path) => path.split("/").some((part) => /^(\.|__MACOSX$|Thumbs\.db$)/.test(part));

async function send(name, files) {
  const wanted = files.filter(([path]) => !isHidden(path));
  if (!wanted.length) throw new Error("There is nothing to upload yet.");
  const total = wanted.reduce((sum, [, file]) => sum + file.size, 0), most = Number($("upload").dataset.maxMb);
  if (total > most * 2 ** 20) {
    const size = Math.round(total / 2 ** 20);
    throw new Error(`That is ${size} MB, and at most ${most} MB are taken: name a folder on this machine instead.`);
  }
  const { upload } = await (await post("/uploads", new URLSearchParams({ name }))).json();
  try {
    await sendAll(`/uploads/${upload}`, wanted, total);
    const { data } = await (await post(`/uploads/${upload}/finish`)).json();
    location.assign(`/data?path=${encodeURIComponent(data)}`);
  } catch (problem) {
    fetch(`/uploads/${upload}`, { method: "DELETE" }).catch(() => {});
    $("sending").hidden = true;
    throw problem;
  }
}

/** Send files, four at a time; what is of another kind is passed over. */
async function sendAll(address, files, total) {
  let next = 0, sent = 0, passedOver = 0;
  const one = async () => {
    while (next < files.length) {
      const [path, file] = files[next++];
      try {
        const place = path.split("/").map(encodeURIComponent).join("/");
        await ask(`${address}/${place}`, { method: "PUT", body: file });
      } catch (problem) {
        if (!problem.message.includes("expected a picture")) throw problem;
        passedOver += 1;
      }
      sent += file.size;
      const share = (100 * sent) / (total || 1), bar = $("sending").querySelector(".tracks");
      bar.firstElementChild.style.width = `${share}%`;
      bar.setAttribute("aria-valuenow", Math.round(share));
      const rest = passedOver ? `, ${passedOver} of another kind passed over` : "";
      $("sent").textContent = `${next} of ${files.length} files${rest}`;
    }
  };
  $("sending").hidden = false;
  await Promise.all([one(), one(), one(), one()]);
}

/** A line of the form: a class with its photos. */
function classRow() {
  const row = $("class-row").content.firstElementChild.cloneNode(true);
  const mine = { name: row.querySelector("[type=text]"), files: [] };
  const add = (files) => {
    mine.files.push(...files);
    row.lastElementChild.textContent = `${mine.files.length} file${mine.files.length === 1 ? "" : "s"}`;
  };
  row.querySelector("[type=file]").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  droppable(row, async (transfer) => {
    const [name, files] = await dropped(transfer);
    add(files.map(([, file]) => file));
    if (!mine.name.value && files[0]?.[0].includes("/")) mine.name.value = name;
  });
  $("classes").append(row);
  return mine;
}

/** The files of a class, under its name; two cameras may have given two of them the same name. */
function filesOf({ name, files }) {
  const folder = name.value.trim().replace(/[/\\]/g, "-");
  return files.map((file, i) => [`${folder}/${String(i).padStart(4, "0")}-${file.name}`, file]);
}

if ($("upload")) {
  const start = (name, files) => {
    tell($("upload-problem"));
    send(name, files).catch((problem) => tell($("upload-problem"), problem));
  };
  droppable($("drop"), async (transfer) => start(...(await dropped(transfer))));
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
      return tell($("upload-problem"), "Name the class of these photos.");
    }
    start(used.map((row) => row.name.value.trim()).join("-").slice(0, 40), used.flatMap(filesOf));
  });
}

/* Try it */

let asked = 0; // only the answer to the last question counts

async function question(content, name, type) {
  const mine = ++asked, place = $("answer");
  tell($("answer-problem"));
  place.setAttribute("aria-busy", "true");
  if (!place.querySelector("section")) place.textContent = "Looking …";
  try {
    const address = `${$("question").dataset.to}?name=${encodeURIComponent(name)}`;
    const html = await (await post(address, content, { "Content-Type": type })).text();
    if (mine === asked) place.innerHTML = html;
  } catch (problem) {
    if (mine !== asked) return;
    place.textContent = "";
    tell($("answer-problem"), problem);
  }
  place.removeAttribute("aria-busy");
}

const about = (file) => file && question(file, file.name || "picture", "application/octet-stream");

function cameraOff() {
  $("video").srcObject?.getTracks().forEach((track) => track.stop());
  $("video").srcObject = null;
  $("camera").hidden = true;
}

async function cameraOn() {
  tell($("answer-problem"));
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await $("video").play(); // before there is a button that takes a picture of it
    $("camera").hidden = false;
    $("shoot").focus();
  } catch (problem) {
    tell($("answer-problem"), `The camera cannot be used: ${problem.message}.`);
  }
}

function shoot() {
  const canvas = document.createElement("canvas"), video = $("video");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => question(blob, "camera", "application/octet-stream"), "image/jpeg", 0.92);
}

if ($("photo")) {
  $("photo").addEventListener("change", ({ target }) => {
    about(target.files[0]);
    target.value = "";
  });
  droppable($("question"), (transfer) => about(transfer.files[0]));
  addEventListener("paste", (event) => about(event.clipboardData.files[0]));
  $("webcam").hidden = !navigator.mediaDevices?.getUserMedia;
  $("webcam").addEventListener("click", cameraOn);
  $("shoot").addEventListener("click", shoot);
  $("no-camera").addEventListener("click", cameraOff);
  addEventListener("pagehide", cameraOff);
}

if ($("text")) {
  $("question").addEventListener("submit", (event) => {
    event.preventDefault();
    question($("text").value, "text", "text/plain");
  });
}

/* Labels to mend: how many are changed; and the two ways of saying so agree */

if ($("mend")) {
  const fields = [...document.querySelectorAll("[form=mend]")];
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
    const button = $("mend").querySelector("button");
    button.textContent = `Train again with ${labels}`;
    button.disabled = !n;
  };
  for (const field of fields) field.addEventListener("change", () => agree(field));
  count(); // a browser that comes back has kept what was chosen
}
