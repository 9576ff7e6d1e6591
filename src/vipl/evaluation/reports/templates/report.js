(function () {
  var root = document.documentElement;
  var store = null;
  try { store = window.localStorage; } catch (error) { /* a page of a file may have none */ }
  var saved = store && store.getItem("vipl-theme");
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    button.hidden = false;
    button.addEventListener("click", function () {
      var system = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
      if (store) store.setItem("vipl-theme", root.dataset.theme);
    });
  });
})();
