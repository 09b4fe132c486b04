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
  var sections = [].filter.call(document.querySelectorAll("main > section"), function (s) { return links[s.id]; });
  // The section that is being read: the last one that begins in the upper third
  // of the window. At the page's end, which short sections share, it is the one
  // that was gone to, else the last.
  function reading() {
    var root = document.documentElement;
    if (root.scrollHeight > innerHeight && innerHeight + scrollY >= root.scrollHeight - 2) {
      var aim = sections.filter(function (s) { return "#" + s.id === location.hash; })[0];
      return aim && aim.getBoundingClientRect().top >= 0 ? aim : sections[sections.length - 1];
    }
    return sections.filter(function (s) { return s.getBoundingClientRect().top < innerHeight / 3; }).pop() || sections[0];
  }
  function here() {
    var now = reading();
    sections.forEach(function (s) {
      if (s === now) { links[s.id].setAttribute("aria-current", "true"); } else { links[s.id].removeAttribute("aria-current"); }
    });
  }
  addEventListener("scroll", here, { passive: true });
  addEventListener("hashchange", here);
  here();
})();
