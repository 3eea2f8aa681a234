"""Where frames come from: video files, folders of pictures, webcams and network cameras."""
