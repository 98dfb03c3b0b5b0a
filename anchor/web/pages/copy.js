"use strict";
const status = document.querySelector("[role=status]");
for (const button of document.querySelectorAll(".command button")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button.previousElementSibling));
}
async function copy(command) {
  status.textContent = "";
  try {
    await navigator.clipboard.writeText(command.textContent);
    status.textContent = "Copied";
  } catch {
    // Browsers give no access to the clipboard without TLS.
    getSelection().selectAllChildren(command);
    status.textContent = document.execCommand("copy") ? "Copied" : "Selected: copy it with Ctrl+C";
  }
}
