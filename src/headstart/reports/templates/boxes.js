// A slider hides predicted boxes with lower scores; an object whose boxes are all hidden is missed.
"use strict";

(() => {
  /** Show the boxes from a score on; those above the thresholds of the run if it is null. */
  function showFrom(part, least) {
    for (const element of part.querySelectorAll("[data-score]")) {
      const isOff = least === null ? element.hasAttribute("data-below") : Number(element.dataset.score) < least;
      element.classList.toggle(element.classList.contains("mark-true") ? "mark-missed" : "off", isOff);
    }
    for (const example of part.querySelectorAll(".box-example")) recount(example);
    const slider = part.querySelector("[type=range]");
    if (least === null) slider.value = slider.min;
    part.querySelector("output").textContent = least === null ? "thresholds of the run" : least.toFixed(2);
    for (const total of part.querySelectorAll("[data-by-score]")) {
      const counts = JSON.parse(total.dataset.byScore);
      const count = least === null ? Number(total.dataset.atThresholds) : counts[Math.round(100 * least)];
      total.textContent = count.toLocaleString("en");
    }
  }

  function recount(example) {
    for (const kind of ["right", "wrong", "missed"]) {
      const place = example.querySelector(`[data-count=${kind}]`);
      if (place) place.textContent = example.querySelectorAll(`.mark-${kind}:not(.off)`).length;
    }
  }

  addEventListener("input", ({ target }) => {
    const part = target.closest?.("[data-boxes]");
    if (part && target.type === "range") showFrom(part, Number(target.value));
  });
  addEventListener("click", ({ target }) => {
    const part = target.closest?.("[data-boxes]");
    if (part && target.matches(".own-thresholds")) showFrom(part, null);
  });
  for (const control of document.querySelectorAll("[data-boxes] .score-slider")) control.hidden = false;
})();
