// The course: each exercise has a module; this one starts them and marks the part that is being read.
import { setCurrent } from "../dom.js";
import { costs } from "./costs.js";
import { cutter } from "./cutter.js";
import { guide } from "./guide.js";
import { loop } from "./loop.js";
import { matrix } from "./matrix.js";
import { modalities } from "./modalities.js";
import { patch } from "./patch.js";
import { quiz } from "./quiz.js";
import { mine, space } from "./space.js";
import { steps } from "./steps.js";
import { towers } from "./towers.js";

const exercises = { towers, modalities, matrix, guide, space, mine, cutter, patch, steps, costs, loop, quiz };

// An exercise starts when it comes near the window, so that the models are free for the one being read.
const starter = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      starter.unobserve(target);
      exercises[target.id](target);
    }
  },
  { rootMargin: "400px" },
);
for (const element of Object.keys(exercises).map((id) => document.getElementById(id))) if (element) starter.observe(element);

const links = [...document.querySelectorAll(".rail a")];
const marker = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) for (const link of links) setCurrent(link, link.hash === `#${target.id}`);
  },
  { rootMargin: "-30% 0px -60%" },
);
for (const section of document.querySelectorAll(".parts > section")) marker.observe(section);
