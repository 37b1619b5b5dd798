"""Usage: tensorflow_ends.py PROGRAM DIRECTORY — writes classifiers with TensorFlow and Keras below DIRECTORY, as SavedModels and
as frozen graphs, lets PROGRAM classify an image with each, and compares the answers with those of TensorFlow: classes in
order, scores within 1e-4. Where the graph shows the kind of the output, the program must not infer it from outputs.

Packages: tensorflow-cpu 2.21.0 (with Keras 3.15.1 and numpy 2.4.6). Weights are random."""

import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

program, directory = sys.argv[1], Path(sys.argv[2])
CLASSES, SIZE = 12, 64
keras.utils.set_random_seed(3)


def small(activation=None):
    image = keras.Input((SIZE, SIZE, 3))
    hidden = keras.layers.Conv2D(8, 3, activation="relu")(image)
    hidden = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(hidden))
    return keras.Model(image, keras.layers.Dense(CLASSES, activation=activation, kernel_initializer="normal")(hidden))


def application(name, activation):
    make = getattr(keras.applications, name)
    return make(weights=None, classes=CLASSES, input_shape=(SIZE, SIZE, 3), classifier_activation=activation)


logits = small()


def after(function):
    return lambda image: function(logits(image))


def top_k(scores):
    best = tf.math.top_k(scores, 5)
    return {"values": best.values, "ids": best.indices}


SORTED, OTHER, LAST = "sorted values of its operator", "does not identify classes", "the model's last operator"
# The network and the kind of its output.
CASES = {
    "logits": (logits, "logits"),
    "softmax": (small("softmax"), "probabilities"),
    "sigmoid": (small("sigmoid"), "independent"),
    "softmax-layer": (after(keras.layers.Softmax()), "probabilities"),
    "log-softmax": (after(tf.nn.log_softmax), "log-probabilities"),
    "log-of-softmax": (after(lambda scores: tf.math.log(tf.nn.softmax(scores))), "log-probabilities"),
    "reshaped": (after(lambda scores: tf.reshape(tf.nn.softmax(scores), [1, CLASSES, 1, 1])), "probabilities"),
    "half": (after(lambda scores: tf.cast(tf.nn.softmax(scores), tf.float16)), "probabilities"),
    "clipped": (after(lambda scores: tf.clip_by_value(tf.nn.softmax(scores), 0.0, 1.0)), "probabilities"),
    "scaled": (after(lambda scores: scores * 0.5), "logits"),
    "percentages": (after(lambda scores: tf.nn.softmax(scores) * 100.0), "numbers"),
    "top-k-values": (after(lambda scores: tf.math.top_k(scores, 5).values), SORTED),
    "top-k-of-softmax": (after(lambda scores: tf.math.top_k(tf.nn.softmax(scores), 5).values), SORTED),
    "softmax-of-top-k": (after(lambda scores: tf.nn.softmax(tf.math.top_k(scores, 5).values)), SORTED),
    "top-k-ids": (after(lambda scores: tf.math.top_k(scores, 5).indices), "class-ids"),
    "top-k": (after(top_k), SORTED),
    "argmax": (after(lambda scores: tf.argmax(scores, -1)), "class-ids"),
    "argmax-kept": (after(lambda scores: tf.argmax(scores, -1, tf.int32)[:, tf.newaxis]), "class-ids"),
    "argmax-of-batch": (after(lambda scores: tf.argmax(scores, 0)), OTHER),
    "argmin": (after(lambda scores: tf.argmin(scores, -1)), OTHER),
    "joined-sigmoids": (after(lambda scores: tf.concat([tf.nn.sigmoid(scores[:, :5]), tf.nn.sigmoid(scores[:, 5:])], 1)), "independent"),
    "MobileNetV2": (application("MobileNetV2", "softmax"), "probabilities"),
    "MobileNetV2-logits": (application("MobileNetV2", None), "logits"),
    "MobileNet": (application("MobileNet", "softmax"), "probabilities"),
}


def served(network):
    """The function of an image that a SavedModel exports."""
    signature = [tf.TensorSpec([1, SIZE, SIZE, 3], tf.float32, name="image")]
    return tf.function(lambda image: network(image), input_signature=signature)


def scores_of(output, kind):
    output = np.asarray(output, np.float64).reshape(-1)
    if kind == "logits":
        powers = np.exp(output - output.max())
        return powers / powers.sum()
    return np.exp(output) if kind == "log-probabilities" else output


def difference(model, output, kind):
    """Compares the answer for `model` with `output`. Returns the reason why it is wrong."""
    command = [program, "--backend", "openvino", "-m", model, "-i", image, "--format", "json", "--top", str(CLASSES)]
    command += ["--color", "rgb", "--mean", "0", "--scale", "255", "--resize", "stretch", "--interpolation", "bilinear"]
    run = subprocess.run(command, capture_output=True, text=True)
    if kind in (SORTED, OTHER):
        return None if run.returncode == 2 and kind in run.stderr else f"not rejected: {run.stderr}"
    if run.returncode != 0 or "inferred" in run.stderr:
        return run.stderr
    top = json.loads(run.stdout)["top"]
    found = [entry["class_id"] for entry in top]
    if kind == "class-ids":
        ids = list(np.asarray(output).reshape(-1))
        return None if found == ids and LAST in run.stderr else f"{found} instead of {ids}: {run.stderr}"
    expected = scores_of(output, kind)
    furthest = max(abs(entry["score"] - expected[entry["class_id"]]) for entry in top)
    # Scores that are nearly equal may have another order.
    falls = max([expected[after] - expected[before] for before, after in zip(found, found[1:])])
    return None if len(found) == CLASSES and furthest < 1e-4 and falls < 1e-4 else f"{furthest} {falls} {run.stderr}"


pixels = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
directory.mkdir(exist_ok=True)
image = directory / "image.ppm"
image.write_bytes(b"P6 %d %d 255\n" % (SIZE, SIZE) + pixels.tobytes())
tensor = tf.constant(pixels[np.newaxis].astype(np.float32) / 255)
failures = 0
for name, (network, kind) in CASES.items():
    module = tf.Module()
    module.network = network
    module.logits = logits
    module.serve = served(network)
    output = module.serve(tensor)
    models = {"SavedModel": directory / name, "frozen": directory / f"{name}.pb"}
    if isinstance(network, keras.Model):
        network.export(models["SavedModel"], verbose=False)
    else:
        tf.saved_model.save(module, models["SavedModel"], signatures=module.serve)
    frozen = convert_variables_to_constants_v2(module.serve.get_concrete_function())
    tf.io.write_graph(frozen.graph, str(directory), f"{name}.pb", as_text=False)
    for form, model in models.items():
        wrong = difference(model, output, kind)
        failures += wrong is not None
        print(f"{name}, {form}: {kind}: {'equal' if wrong is None else wrong}")
print(f"{failures} failures")
sys.exit(failures > 0)
