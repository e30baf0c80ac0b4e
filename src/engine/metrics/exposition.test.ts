import assert from "node:assert/strict";
import { test } from "node:test";
import { Exposition, renderLabels } from "./exposition.ts";

test("families come with help and type, once, and only where they have values", () => {
  const exposition = new Exposition();
  exposition.family("a_total", "counter", "Counted");
  exposition.family("b", "gauge", "Nothing");
  const labels = renderLabels({ id: "1", name: "web" });
  exposition.add("a_total", labels, 3);
  exposition.add("a_total", `${labels},interface="eth0"`, 1.5);
  assert.equal(
    exposition.text(),
    "# HELP a_total Counted\n# TYPE a_total counter\n" +
      'a_total{id="1",name="web"} 3\na_total{id="1",name="web",interface="eth0"} 1.5\n',
  );
  assert.throws(() => exposition.add("c", "", 1), /No metric c/);
});

test("a value of a label cannot end its quotes", () => {
  const hostile = 'x"} 1\nengine_daemon_engine_info{a="\\';
  assert.equal(
    renderLabels({ name: hostile }),
    'name="x\\"} 1\\nengine_daemon_engine_info{a=\\"\\\\"',
  );
});
