// Sets the theme before the first paint; src/theme.ts does so from then on. A file of its own, because the
// Content-Security-Policy allows no script in the page.
(function () {
  var chosen = null
  try { chosen = localStorage.getItem('sluice-manager:theme') } catch { /* storage is off */ }
  var dark = chosen === 'dark' || (chosen !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.setAttribute('data-kui-theme', dark ? 'sluice-night' : 'sluice-day')
})()
