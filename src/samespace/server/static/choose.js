// Which of several libraries the pages show: one choice for all tabs, which follow it.
const choice = document.getElementById("library-choice");
const chosenElsewhere = new BroadcastChannel("samespace-library");
chosenElsewhere.addEventListener("message", () => location.reload());
choice.addEventListener("change", () => {
  document.cookie = `${choice.dataset.cookie}=${encodeURIComponent(choice.value)}; path=/; samesite=strict; max-age=31536000`;
  chosenElsewhere.postMessage(choice.value);
  location.reload();
});
