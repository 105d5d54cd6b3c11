"""An open end-to-end driving VLM: many cameras and a structured prompt in, a reasoned plan out."""

__version__ = "0.1.0"
