"""The colours of all pictures."""

# one dark ink, so that a page can replace it by its own text colour
INK = "#1b2733"
# blue, vermilion and green of Okabe and Ito, which all kinds of colour vision tell apart;
# kinks that bend down are also thicker, and their marks point down
UP, DOWN, CHORD = "#0072b2", "#d55e00", "#009e73"
