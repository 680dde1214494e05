// What HTML cannot do alone: send folders, follow a job, ask about a picture. Each part begins where its page has it.
"use strict";
const $ = (id) => document.getElementById(id);
const part = { "X-Part": "1" };

async function ask(address, options) {
  const answer = await fetch(address, { ...options, headers: { ...part, ...options?.headers } });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

function tell(place, problem) {
  place.textContent = problem ? problem.message || String(problem) : "";
  place.hidden = !problem;
}

function droppable(place, take) {
  for (const kind of ["dragover", "dragenter"]) place.addEventListener(kind, (e) => { e.preventDefault(); e.stopPropagation(); place.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) place.addEventListener(kind, () => place.classList.remove("over"));
  place.addEventListener("drop", (e) => { e.preventDefault(); e.stopPropagation(); take(e.dataTransfer); });
}

/* A job: its part of the page is made anew by the server until it is over */
async function follow(place) {
  for (;;) {
    await new Promise((done) => setTimeout(done, 700));
    try {
      const answer = await ask(place.dataset.from);
      const html = await answer.text();
      const atEnd = ((n) => !n || n.scrollTop + n.clientHeight >= n.scrollHeight - 4)(place.querySelector(".notes"));
      const focused = place.contains(document.activeElement) && document.activeElement.textContent;
      place.innerHTML = html;
      const notes = place.querySelector(".notes");
      if (notes && atEnd) notes.scrollTop = notes.scrollHeight;
      if (focused) [...place.querySelectorAll("button, a")].find((one) => one.textContent === focused)?.focus();
      const goTo = answer.headers.get("X-Go-To");
      if (goTo) return location.assign(goTo);
      if (answer.headers.get("X-Status") !== "running") return;
    } catch { /* the server may be back in a moment */ }
  }
}
if ($("progress")?.hasAttribute("data-live")) follow($("progress"));

/* Bring data */
function filesIn(entry, path, found) {
  if (entry.isFile) return new Promise((done, fail) => entry.file((file) => { found.push([path + file.name, file]); done(); }, fail));
  const reader = entry.createReader();
  return new Promise((done, fail) => {
    const more = () => reader.readEntries(async (entries) => {
      if (!entries.length) return done();
      for (const one of entries) await filesIn(one, path + entry.name + "/", found);
      more();
    }, fail);
    more();
  });
}

async function send(name, files) {
  const wanted = files.filter(([path]) => !path.split("/").some((one) => one.startsWith(".") || one === "__MACOSX" || one === "Thumbs.db"));
  if (!wanted.length) throw new Error("There is nothing to upload yet.");
  const total = wanted.reduce((sum, [, file]) => sum + file.size, 0), most = Number($("upload").dataset.maxMb);
  if (total > most * 2 ** 20) throw new Error(`That is ${Math.round(total / 2 ** 20)} MB, and at most ${most} MB are taken: name a folder on this machine instead.`);
  const { upload } = await (await ask("/uploads", { method: "POST", body: new URLSearchParams({ name }) })).json();
  let sent = 0, next = 0, passedOver = 0;
  $("sending").hidden = false;
  const worker = async () => {
    while (next < wanted.length) {
      const [path, file] = wanted[next++];
      try {
        await ask(`/uploads/${upload}/${path.split("/").map(encodeURIComponent).join("/")}`, { method: "PUT", body: file });
      } catch (problem) {
        if (!/expected a picture/.test(problem.message)) throw problem;
        passedOver += 1;
      }
      sent += file.size;
      $("sending").querySelector("i").style.width = `${(100 * sent) / (total || 1)}%`;
      $("sent").textContent = `${next} of ${wanted.length} files${passedOver ? `, ${passedOver} of another kind passed over` : ""}`;
    }
  };
  try {
    await Promise.all([worker(), worker(), worker(), worker()]);
    const { data } = await (await ask(`/uploads/${upload}/finish`, { method: "POST" })).json();
    location.assign(`/data?path=${encodeURIComponent(data)}`);
  } catch (problem) {
    fetch(`/uploads/${upload}`, { method: "DELETE" }).catch(() => {});
    $("sending").hidden = true;
    throw problem;
  }
}

if ($("upload")) {
  const sendAnd = (name, files) => { tell($("upload-problem")); send(name, files).catch((problem) => tell($("upload-problem"), problem)); };
  const stem = (name) => name.replace(/\.[^.]+$/, "");
  const dropped = async (transfer) => {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean), found = [];
    for (const entry of entries) await filesIn(entry, "", found);
    return [entries[0] ? stem(entries[0].name) : "upload", found];
  };
  droppable($("drop"), async (transfer) => sendAnd(...(await dropped(transfer))));
  $("files").addEventListener("change", (e) => e.target.files[0] && sendAnd(stem(e.target.files[0].name), [...e.target.files].map((file) => [file.name, file])));
  $("folder").addEventListener("change", (e) => {
    const files = [...e.target.files].map((file) => [file.webkitRelativePath, file]);
    if (files.length) sendAnd(files[0][0].split("/")[0], files);
  });
  const rows = [];
  const addRow = () => {
    const row = $("class-row").content.firstElementChild.cloneNode(true);
    const mine = { name: row.querySelector("[type=text]"), files: [] };
    const add = (files) => {
      mine.files.push(...files);
      row.lastElementChild.textContent = `${mine.files.length} file${mine.files.length === 1 ? "" : "s"}`;
    };
    row.querySelector("[type=file]").addEventListener("change", (e) => { add([...e.target.files]); e.target.value = ""; });
    droppable(row, async (transfer) => {
      const [name, found] = await dropped(transfer);
      add(found.map(([, file]) => file));
      if (!mine.name.value && found[0]?.[0].includes("/")) mine.name.value = name;
    });
    rows.push(mine);
    $("classes").append(row);
    return mine;
  };
  addRow(); addRow();
  $("more").addEventListener("click", () => addRow().name.focus());
  $("upload").addEventListener("submit", (e) => {
    e.preventDefault();
    const used = rows.filter((row) => row.files.length);
    const nameless = used.find((row) => !row.name.value.trim());
    if (nameless) { nameless.name.focus(); return tell($("upload-problem"), "Name the class of these photos."); }
    const number = (i, file) => `${String(i).padStart(4, "0")}-${file.name}`; // two cameras may use the same names
    sendAnd(used.map((row) => row.name.value.trim()).join("-").slice(0, 40) || "upload", used.flatMap((row) => row.files.map((file, i) => [`${row.name.value.trim().replace(/[/\\]/g, "-")}/${number(i, file)}`, file])));
  });
}

/* Try it */
if ($("question")) {
  let asked = 0;
  const put = async (content, name, type) => {
    const mine = ++asked;
    tell($("answer-problem"));
    $("answer").setAttribute("aria-busy", "true");
    try {
      const answer = await ask(`${$("question").dataset.to}?name=${encodeURIComponent(name)}`, { method: "POST", body: content, headers: { "Content-Type": type } });
      const html = await answer.text();
      if (mine === asked) $("answer").innerHTML = html;
    } catch (problem) {
      if (mine === asked) { $("answer").textContent = ""; tell($("answer-problem"), problem); }
    }
    $("answer").removeAttribute("aria-busy");
  };
  const putFile = (file) => file && put(file, file.name || "picture", "application/octet-stream");
  if ($("text")) {
    $("question").addEventListener("submit", (e) => { e.preventDefault(); put($("text").value, "text", "text/plain"); });
  } else {
    $("photo").addEventListener("change", (e) => { putFile(e.target.files[0]); e.target.value = ""; });
    droppable($("question"), (transfer) => putFile(transfer.files[0]));
    addEventListener("paste", (e) => putFile(e.clipboardData.files[0]));
    $("webcam").hidden = !navigator.mediaDevices?.getUserMedia;
    const off = () => { $("video").srcObject?.getTracks().forEach((track) => track.stop()); $("video").srcObject = null; $("camera").hidden = true; };
    $("webcam").addEventListener("click", async () => {
      tell($("answer-problem"));
      try {
        $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        $("camera").hidden = false;
        await $("video").play();
        $("shoot").focus();
      } catch (problem) { tell($("answer-problem"), `The camera cannot be used: ${problem.message}.`); }
    });
    $("no-camera").addEventListener("click", off);
    $("shoot").addEventListener("click", () => {
      const canvas = document.createElement("canvas"), video = $("video");
      canvas.width = video.videoWidth; canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => put(blob, "camera", "application/octet-stream"), "image/jpeg", 0.92);
    });
    addEventListener("pagehide", off);
  }
}

/* Labels to mend: how many are changed, and the two ways of saying so agree */
if ($("mend")) {
  const fields = [...document.querySelectorAll("[form=mend]")].filter((one) => one !== $("mend"));
  const count = () => {
    const n = fields.filter((one) => (one.tagName === "SELECT" ? one.value : one.checked && one.value)).length;
    $("mend").querySelector("button").textContent = n ? `Train again with ${n} changed label${n === 1 ? "" : "s"}` : "Train again with these labels";
  };
  for (const one of fields) one.addEventListener("change", () => {
    const number = one.name.split("-")[1];
    for (const other of fields) {
      if (other.name.split("-")[1] !== number || other === one) continue;
      if (one.tagName === "SELECT" && one.value && other.type === "radio") other.checked = false;
      if (one.tagName !== "SELECT" && other.tagName === "SELECT") other.value = "";
    }
    count();
  });
}
