"""`predict` as Keras does it, a whole process: `keras_predict.py MODEL.keras TOKENIZER.json TEXT`."""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import keras

with open(sys.argv[2]) as file:
    vocabulary = json.load(file)["model"]["vocab"]
model = keras.saving.load_model(sys.argv[1])
words = sys.argv[3].lower().replace(",", " ").split()
ids = keras.utils.pad_sequences([[1, *(vocabulary.get(word, 2) for word in words)]], maxlen=100)
print(f"{model.predict(ids, verbose=0)[0, 0]:.4f}")
