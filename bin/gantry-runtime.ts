// gantry-runtime from its sources: native/runtime.c starts this where nothing is bundled.

import "../src/oci/entry.ts";
