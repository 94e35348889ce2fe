// The lesson: each hands-on piece has a module; this one starts them and marks where the reader is.
import { costs } from "./costs.js";
import { cutter } from "./cutter.js";
import { inside } from "./inside.js";
import { kinds } from "./kinds.js";
import { matrix } from "./matrix.js";
import { quiz } from "./quiz.js";
import { mine, space } from "./space.js";
import { steps } from "./steps.js";
import { towers } from "./towers.js";

const pieces = { towers, kinds, matrix, space, mine, cutter, inside, steps, costs, quiz };

// A piece begins when it comes near the window: the models have time for the one being read.
const starter = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      starter.unobserve(target);
      pieces[target.id](target);
    }
  },
  { rootMargin: "400px" },
);
for (const place of Object.keys(pieces).map((id) => document.getElementById(id))) if (place) starter.observe(place);

const links = [...document.querySelectorAll(".rail a")];
const marker = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) for (const link of links) link.toggleAttribute("aria-current", link.hash === `#${target.id}`);
  },
  { rootMargin: "-30% 0px -60%" },
);
for (const section of document.querySelectorAll(".parts > section")) marker.observe(section);
