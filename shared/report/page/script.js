"use strict";
(function () {
  var said = document.getElementById("said");
  function tell(button, text) {
    button.textContent = text;
    said.textContent = text;
    setTimeout(function () { button.textContent = "Copy"; said.textContent = ""; }, 2000);
  }
  function select(node) {
    var range = document.createRange();
    range.selectNodeContents(node);
    var selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }
  function copy(button) {
    var node = document.getElementById(button.dataset.copy);
    function byHand() { select(node); tell(button, "Selected"); }
    if (!navigator.clipboard) { byHand(); return; }
    navigator.clipboard.writeText(node.textContent).then(function () { tell(button, "Copied"); }, byHand);
  }
  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () { copy(button); });
  });

  var links = {};
  document.querySelectorAll("nav a").forEach(function (a) { links[a.hash.slice(1)] = a; });
  function here() {
    var now = null;
    document.querySelectorAll("main > section").forEach(function (s) {
      if (links[s.id] && (!now || s.getBoundingClientRect().top < innerHeight / 3)) { now = s.id; }
    });
    Object.keys(links).forEach(function (id) {
      if (id === now) { links[id].setAttribute("aria-current", "true"); } else { links[id].removeAttribute("aria-current"); }
    });
  }
  addEventListener("scroll", here, { passive: true });
  here();
})();
