"""A small program with a window: a field, two buttons, a box and a list; what was done is written into a file."""

import sys
import tkinter as tk
from pathlib import Path

report = Path(sys.argv[1])
root = tk.Tk()
root.geometry("600x400+0+0")
root.option_add("*Font", "Helvetica 18")
tea = tk.IntVar()
tk.Label(root, text="Name").place(x=30, y=30)
field = tk.Entry(root, bg="white", highlightthickness=1, highlightbackground="grey40")
field.place(x=130, y=26, width=300, height=40)
tk.Checkbutton(root, text="Tea", variable=tea).place(x=30, y=90)
tk.Button(root, text="Send", command=lambda: report.write_text(f"{field.get()} {tea.get()}", "utf-8")).place(
    x=30, y=150, width=120, height=44
)
tk.Button(root, text="Cancel", command=root.destroy).place(x=180, y=150, width=120, height=44)
canvas = tk.Canvas(root, width=500, height=150, bg="white")
canvas.place(x=30, y=220)
box = canvas.create_rectangle(20, 40, 70, 90, fill="red")
canvas.tag_bind(box, "<B1-Motion>", lambda event: canvas.moveto(box, event.x - 25, event.y - 25))
canvas.bind("<Button-5>", lambda event: report.write_text("down", "utf-8"))
canvas.bind("<ButtonRelease-1>", lambda event: report.write_text(f"{canvas.coords(box)[0]:.0f}", "utf-8"))
root.update()
field.focus_force()
print("ready", flush=True)
root.mainloop()
