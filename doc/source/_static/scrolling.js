// The keyboard can scroll what is wider than the screen: code blocks and tables.
function focusWhatScrolls() {
  for (const box of document.querySelectorAll("pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
focusWhatScrolls();
addEventListener("resize", focusWhatScrolls);
