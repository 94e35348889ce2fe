// Which of several libraries the pages show.
document.getElementById("library-choice")?.addEventListener("change", ({ target }) => {
  document.cookie = `samespace-library=${encodeURIComponent(target.value)}; path=/; samesite=strict; max-age=31536000`;
  location.reload();
});
